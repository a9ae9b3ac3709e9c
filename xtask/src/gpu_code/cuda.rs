//! Turns a kernel in Metal's language, as naga writes it, into CUDA. The language is the same but for the kernel's own
//! parameters and the names of address spaces; `metal_in_cuda.h` has what is called.

/// The name of the header that the CUDA code includes.
pub(crate) const HEADER: &str = "metal_in_cuda.h";

/// What becomes of a parameter of the kernel.
#[derive(Debug, PartialEq)]
enum Parameter {
    /// It stays one, under another type, and is unpacked by the statement.
    Passed { declaration: String, statement: String },
    /// It becomes a variable.
    Local(String),
}

/// Invocations that are to run on a multiprocessor at once, of 2,048 at most, which leaves each 85 of its 65,536 registers.
/// Without a number the compiler decides by rules of its own, and for two kernels it decided to spill what it need not.
const RESIDENT: u32 = 768;

pub(crate) fn from_metal(metal: &str) -> Result<String, String> {
    let (before, kernel) = metal
        .split_once("kernel void main_(\n")
        .ok_or("the Metal code has no kernel")?;
    let (parameters, body) = kernel.split_once("\n) {").ok_or("the kernel has no body")?;
    let (before, size) = split_work_group_size(before);
    let groups = (RESIDENT / size).max(1);
    let mut passed = Vec::new();
    let mut statements = String::new();
    for line in parameters.lines() {
        match parameter(line.trim_start_matches([',', ' ']))? {
            Parameter::Passed { declaration, statement } => {
                passed.push(declaration);
                statements += &statement;
            }
            Parameter::Local(statement) => statements += &statement,
        }
    }
    let signature = passed.join(", ");
    let bounds = format!("__launch_bounds__({size}, {groups})");
    Ok(format!(
        "#include \"{HEADER}\"\n{}\nextern \"C\" __global__ void {bounds} main_({signature}) {{\n{statements}{}",
        without_address_spaces(before),
        without_address_spaces(body)
    ))
}

/// The code without the attribute at its end that says how many invocations a work-group has, and that number.
fn split_work_group_size(before: &str) -> (&str, u32) {
    let split = before.rsplit_once("[[max_total_threads_per_threadgroup(");
    let number = split.and_then(|(before, rest)| Some((before, rest.split(')').next()?.parse().ok()?)));
    number.unwrap_or((before, 1024))
}

fn without_address_spaces(code: &str) -> String {
    let mut out = String::new();
    let is_code = |line: &&str| {
        ["//", "#include", "using "]
            .iter()
            .all(|start| !line.starts_with(start))
    };
    for line in code.lines().filter(is_code) {
        let mut line = match line.strip_prefix("constant ") {
            Some(rest) => format!("static constexpr {rest}"),
            None => line.to_string(),
        };
        for (old, new) in [
            ("constant ", "const "),
            ("device ", ""),
            ("threadgroup ", ""),
            ("thread ", ""),
            // CUDA has a type of this name too.
            ("float2(as_type<half2>", "metal::float2(as_type<metal::half2>"),
            ("as_type<uint>(half2(", "as_type<uint>(metal::half2("),
            (".yzwx", ".get_yzwx()"),
            (".xyz", ".get_xyz()"),
            (".yzw", ".get_yzw()"),
            (".xy", ".get_xy()"),
            (".zw", ".get_zw()"),
        ] {
            line = line.replace(old, new);
        }
        out += &with_f32_literals(&line);
        out.push('\n');
    }
    out
}

/// `1.0` is an f32 in Metal's language, and an f64 in CUDA unless an `f` follows.
fn with_f32_literals(line: &str) -> String {
    let mut out = String::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    for word in line.split_inclusive(|c| !is_word(c)) {
        let number = word.trim_end_matches(|c| !is_word(c));
        let is_decimal = number.split_once('.').is_some_and(|(whole, part)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
            digits(whole) && digits(part)
        });
        out += number;
        out += if is_decimal { "f" } else { "" };
        out += &word[number.len()..];
    }
    out
}

/// A line like `device type_10 const& logits [[user(fake0)]]`.
fn parameter(line: &str) -> Result<Parameter, String> {
    let (declaration, attribute) = line.split_once(" [[").unwrap_or((line, ""));
    let unknown = || format!("an unknown parameter of the kernel: {line}");
    let (type_name, name) = declaration.rsplit_once(' ').ok_or_else(unknown)?;
    let (space, referred) = type_name.split_once(' ').unwrap_or(("", type_name));
    let referred = referred.trim_end_matches('&');
    Ok(match space {
        // These lie in memory that is the same for all lanes, as a uniform buffer does.
        "constant" => Parameter::Passed {
            declaration: format!("const {referred} {name}"),
            statement: String::new(),
        },
        "device" => Parameter::Passed {
            declaration: format!("{referred}* __restrict__ {name}_pointer"),
            statement: format!("    {referred}& {name} = *{name}_pointer;\n"),
        },
        "threadgroup" => Parameter::Local(format!("    __shared__ {referred} {name};\n")),
        _ => {
            let value = builtin(attribute.trim_end_matches(']')).ok_or_else(unknown)?;
            Parameter::Local(format!("    {type_name} {name} = {value};\n"))
        }
    })
}

fn builtin(attribute: &str) -> Option<&'static str> {
    Some(match attribute {
        "threadgroup_position_in_grid" => "{blockIdx.x, blockIdx.y, blockIdx.z}",
        "thread_index_in_threadgroup" => "threadIdx.x",
        "threads_per_simdgroup" => "32u",
        "simdgroup_index_in_threadgroup" => "threadIdx.x / 32u",
        "thread_index_in_simdgroup" => "threadIdx.x % 32u",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_pointers_values_and_variables() {
        let passed = |declaration: &str, statement: &str| Parameter::Passed {
            declaration: declaration.into(),
            statement: statement.into(),
        };
        for (line, expected) in [
            (
                "constant Params& params [[user(fake0)]]",
                passed("const Params params", ""),
            ),
            (
                "device type_10 const& logits [[user(fake0)]]",
                passed(
                    "type_10 const* __restrict__ logits_pointer",
                    "    type_10 const& logits = *logits_pointer;\n",
                ),
            ),
            (
                "threadgroup type_7& exchange",
                Parameter::Local("    __shared__ type_7 exchange;\n".into()),
            ),
            (
                "uint size [[threads_per_simdgroup]]",
                Parameter::Local("    uint size = 32u;\n".into()),
            ),
        ] {
            assert_eq!(parameter(line), Ok(expected));
        }
        assert!(parameter("uint what [[unheard_of]]").is_err());
    }

    #[test]
    fn literals_are_f32() {
        let line = "x = a.x * 16777216.0 + mul(-(d), v1.y, 0.5, b[2u]) + float4(-1.0);";
        let suffixed = "x = a.x * 16777216.0f + mul(-(d), v1.y, 0.5f, b[2u]) + float4(-1.0f);";
        assert_eq!(with_f32_literals(line), suffixed);
    }

    #[test]
    fn the_work_group_size_becomes_launch_bounds() {
        let metal = "constant uint A = 1u;\n[[max_total_threads_per_threadgroup(64)]] kernel void main_(\n  \
                     threadgroup T& t\n) {\n    t = thread_of(v.xy);\n}\n";
        let cuda = from_metal(metal).unwrap_or_default();
        for part in [
            "static constexpr uint A",
            "__launch_bounds__(64, 12) main_()",
            "__shared__ T t",
            "v.get_xy()",
        ] {
            assert!(cuda.contains(part), "{part} is missing in:\n{cuda}");
        }
    }
}
