//! Circles in a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// For each node its neighbours, and the line that names them.
type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

/// The circles, each as its nodes in order with the line of the edge to the next. Circles that share a node with one that is
/// already in the list are left out, so the list is short, and empty only if there is no circle.
pub(super) fn circles<'a>(edges: &Edges<'a>) -> Vec<Vec<(&'a str, usize)>> {
    let mut reported = BTreeSet::new();
    let mut circles = Vec::new();
    for &node in edges.keys() {
        let Some(circle) = shortest_circle(edges, node) else {
            continue;
        };
        if circle.iter().all(|(node, _)| !reported.contains(node)) {
            reported.extend(circle.iter().map(|(node, _)| *node));
            circles.push(circle);
        }
    }
    circles
}

/// The shortest circle through a node, found by breadth-first search.
fn shortest_circle<'a>(edges: &Edges<'a>, start: &'a str) -> Option<Vec<(&'a str, usize)>> {
    let mut came_from: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for (&next, &line) in edges.get(node).into_iter().flatten() {
            if came_from.contains_key(next) {
                continue;
            }
            came_from.insert(next, (node, line));
            if next == start {
                let mut circle = vec![came_from[start]];
                while let Some(&(node, _)) = circle.last()
                    && node != start
                {
                    circle.push(came_from[node]);
                }
                circle.reverse();
                return Some(circle);
            }
            queue.push_back(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[(&'static str, &'static str)]) -> Vec<Vec<(&'static str, usize)>> {
        let mut all = Edges::new();
        for (line, (from, to)) in edges.iter().enumerate() {
            all.entry(from).or_default().insert(to, line);
        }
        circles(&all)
    }

    #[test]
    fn a_graph_without_circles_has_none() {
        assert_eq!(found(&[]), Vec::<Vec<_>>::new());
        assert_eq!(
            found(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]),
            Vec::<Vec<_>>::new()
        );
    }

    #[test]
    fn a_circle_is_found_from_any_of_its_nodes_once() {
        let edges = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")];
        assert_eq!(found(&edges), [[("b", 1), ("c", 2), ("d", 3)]]);
    }

    #[test]
    fn circles_apart_are_all_found_and_the_shortest_is_told() {
        let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "a"), ("x", "y"), ("y", "x")];
        assert_eq!(found(&edges), [[("a", 0), ("b", 3)], [("x", 4), ("y", 5)]]);
    }
}
