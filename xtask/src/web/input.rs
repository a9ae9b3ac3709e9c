//! What a person does: the events of mouse, finger and keyboard, as the browser would get them from the system.

use super::browser::{Browser, SOON};
use serde_json::{Value, json};

/// A place on the screen, in pixels of the style sheet.
pub(crate) type Point = [f64; 2];

/// Of the keys that are pressed here: what it types if it types something, and its number on a keyboard.
fn key_data(key: &str) -> (&str, u32) {
    match key {
        "Enter" => ("\r", 13),
        " " => (" ", 32),
        "Tab" => ("", 9),
        "Escape" => ("", 27),
        "ArrowLeft" => ("", 37),
        "ArrowUp" => ("", 38),
        "ArrowRight" => ("", 39),
        _ => ("", 40),
    }
}

impl Browser {
    /// Clicks with the mouse on the middle of what a selector finds.
    pub(crate) fn click(&mut self, selector: &str) -> Result<(), String> {
        let [x, y, width, height] = self.box_of(selector)?;
        let middle = [x + width / 2.0, y + height / 2.0];
        self.mouse("mouseMoved", middle, 0)?;
        self.mouse("mousePressed", middle, 1)?;
        self.mouse("mouseReleased", middle, 0)
    }

    /// Where an element is, once it was scrolled to: x, y, width, height.
    pub(crate) fn box_of(&mut self, selector: &str) -> Result<[f64; 4], String> {
        let expression = format!(
            "(() => {{ const e = document.querySelector({}); if (!e) return null; e.scrollIntoView({{ block: 'center' }}); \
             const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }})()",
            json!(selector)
        );
        let found = self.evaluate(&expression, SOON)?;
        let numbers: Option<Vec<f64>> = found.as_array().map(|n| n.iter().filter_map(Value::as_f64).collect());
        let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
        numbers.ok_or_else(|| format!("the page has no {selector}"))
    }

    fn mouse(&mut self, kind: &str, [x, y]: Point, buttons: u32) -> Result<(), String> {
        let button = if kind == "mouseMoved" && buttons == 0 {
            "none"
        } else {
            "left"
        };
        let event = json!({ "type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", event, SOON).map(drop)
    }

    /// Presses the mouse's button at the first point, and releases it at the last.
    pub(crate) fn drag(&mut self, points: &[Point]) -> Result<(), String> {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Ok(());
        };
        self.mouse("mouseMoved", *first, 0)?;
        self.mouse("mousePressed", *first, 1)?;
        for point in points {
            self.mouse("mouseMoved", *point, 1)?;
        }
        self.mouse("mouseReleased", *last, 0)
    }

    /// Moves a finger over the screen.
    pub(crate) fn touch(&mut self, points: &[Point]) -> Result<(), String> {
        for (i, [x, y]) in points.iter().enumerate() {
            let kind = if i == 0 { "touchStart" } else { "touchMove" };
            let event = json!({ "type": kind, "touchPoints": [{ "x": x, "y": y }] });
            self.call("Input.dispatchTouchEvent", event, SOON)?;
        }
        let event = json!({ "type": "touchEnd", "touchPoints": [] });
        self.call("Input.dispatchTouchEvent", event, SOON).map(drop)
    }

    /// Presses and releases a key, so many times.
    pub(crate) fn press(&mut self, key: &str, times: usize) -> Result<(), String> {
        let (text, number) = key_data(key);
        for _ in 0..times {
            for kind in ["keyDown", "keyUp"] {
                let text = if kind == "keyDown" { text } else { "" };
                let code = if key == " " { "Space" } else { key };
                let event = json!({
                    "type": kind, "key": key, "code": code, "text": text, "windowsVirtualKeyCode": number
                });
                self.call("Input.dispatchKeyEvent", event, SOON)?;
            }
        }
        Ok(())
    }

    /// Presses Tab until the element that a selector finds has the focus.
    pub(crate) fn tab_to(&mut self, selector: &str) -> Result<(), String> {
        const MOST: usize = 60;
        let is_there = format!("document.activeElement?.matches({})", json!(selector));
        for _ in 0..MOST {
            self.press("Tab", 1)?;
            if self.evaluate(&is_there, SOON)? == true {
                return Ok(());
            }
        }
        Err(format!("Tab does not come to {selector}"))
    }
}
