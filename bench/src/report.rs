//! The page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::measures;
use crate::plot;
use crate::protocol::Failure;
use crate::results::{Results, Row, Target};
use crate::stats::Spread;

/// Writes `benchmark.md`, `benchmark.json` and the pictures into a folder. `notes` is a folder of texts that are put
/// under the row whose id is their name, and `index.md` at the top.
///
/// # Errors
/// When something cannot be written.
pub fn write(results: &Results, folder: &Path, notes: &Path) -> Result<(), Failure> {
    let pictures = folder.join("benchmark");
    fs::create_dir_all(&pictures)?;
    fs::write(
        folder.join("benchmark.json"),
        serde_json::to_string_pretty(results)? + "\n",
    )?;
    for row in &results.rows {
        let path = pictures.join(format!("{}.svg", row.id));
        match row.id.as_str() {
            "many-cpu" => plot::growth(row, &path)?,
            _ => plot::bars(row, &path)?,
        }
    }
    fs::write(folder.join("benchmark.md"), page(results, notes)?)?;
    Ok(())
}

fn page(results: &Results, notes: &Path) -> Result<String, Failure> {
    let mut page = String::new();
    let machine = &results.machine;
    writeln!(page, "# How fast Jackfield is\n")?;
    if results.quick {
        writeln!(
            page,
            "**A run to see that everything works: the figures mean nothing.**\n"
        )?;
    }
    writeln!(
        page,
        "Measured {} in {:.0} minutes on {} processors ({}), {} GiB of memory, {}; load before it {}. \
         `bench/run` measures it anew and writes this page.\n",
        results.began,
        results.took / 60.0,
        machine.processors,
        machine.processor,
        machine.memory_mib.div_ceil(1024),
        machine.system,
        machine.load,
    )?;
    add_note(&mut page, notes, "index")?;
    writeln!(
        page,
        "Figures are medians over rounds, with the tenth and the ninetieth of a hundred in brackets. In each round everybody \
         does the same thing, in turn; a ratio is of two figures of the same round. `x` is a ratio.\n"
    )?;
    targets(&mut page, results)?;
    for measure in measures::all() {
        let rows: Vec<&Row> = results
            .rows
            .iter()
            .filter(|row| row.group == measure.name)
            .collect();
        if rows.is_empty() {
            continue;
        }
        writeln!(page, "## {}\n", measure.title)?;
        for row in rows {
            table(&mut page, row)?;
            add_note(&mut page, notes, &row.id)?;
        }
    }
    writeln!(page, "## What was measured\n")?;
    for (name, version) in &results.versions {
        writeln!(page, "- {name} {version}")?;
    }
    for left_out in &results.left_out {
        writeln!(page, "- not measured: {left_out}")?;
    }
    Ok(page)
}

fn targets(page: &mut String, results: &Results) -> Result<(), Failure> {
    writeln!(
        page,
        "| what | who | beside | is | target | |\n|---|---|---|---|---|---|"
    )?;
    for row in &results.rows {
        for target in &row.targets {
            let Target { who, against, .. } = target;
            writeln!(
                page,
                "| [{}](#{}) | {who} | {against} | {} | {} | {} |",
                row.what,
                row.id,
                reached(row, target),
                wanted(row, target),
                if target.met { "met" } else { "**missed**" },
            )?;
        }
    }
    writeln!(page)?;
    Ok(())
}

/// What was reached, beside whom.
fn reached(row: &Row, target: &Target) -> String {
    let median = |name: &str| {
        let found = row.contestants.iter().find(|one| one.name == name);
        found.map_or(f64::NAN, |one| one.spread.median)
    };
    if target.plus != 0.0 {
        let more = median(&target.who) - median(&target.against);
        return format!("{more:+.1} {}", row.unit);
    }
    let Spread { median, low, high } = target.ratio;
    format!("{median:.2} x ({low:.2} to {high:.2})")
}

fn wanted(row: &Row, target: &Target) -> String {
    match (row.more_is_better, target.plus == 0.0) {
        (true, _) => format!("at least {:.2} x", target.factor),
        (false, true) => format!("at most {:.2} x", target.factor),
        (false, false) => format!("at most {:+.0} {}", target.plus, row.unit),
    }
}

fn table(page: &mut String, row: &Row) -> Result<(), Failure> {
    writeln!(page, "<a id=\"{}\"></a>\n\n### {}\n", row.id, row.what)?;
    if !row.note.is_empty() {
        writeln!(page, "{}\n", row.note)?;
    }
    writeln!(page, "| | {} |\n|---|---|", row.unit)?;
    for one in &row.contestants {
        let Spread { median, low, high } = one.spread;
        writeln!(
            page,
            "| {} | {} ({} to {}) |",
            one.name,
            number(median),
            number(low),
            number(high)
        )?;
    }
    writeln!(page, "\n![{}](benchmark/{}.svg)\n", row.what, row.id)?;
    Ok(())
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn add_note(page: &mut String, notes: &Path, name: &str) -> Result<(), Failure> {
    if let Ok(note) = fs::read_to_string(notes.join(format!("{name}.md"))) {
        writeln!(page, "{}\n", note.trim())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, text) in [
            (1_234_567.8, "1,234,568"),
            (999.4, "999"),
            (12.34, "12.3"),
            (0.5, "0.50"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
