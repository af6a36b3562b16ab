//! The benchmark: measures everything and writes the page.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use jackfield_bench::lab::Lab;
use jackfield_bench::machine::{Machine, now, said};
use jackfield_bench::protocol::Failure;
use jackfield_bench::results::{Results, Row};
use jackfield_bench::{measures, report};
use tokio::time::Instant;

/// How fast Jackfield is, beside bare libraries and beside its peers
///
/// Writes benchmark.md, benchmark.json and pictures. Take it on a quiet machine: next to a compiler the figures are noise.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Only see that everything works, in seconds; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Measure only this; may be given several times. See --list
    #[arg(long, value_name = "MEASURE")]
    only: Vec<String>,
    /// Keep what an earlier run found, as it lies in the folder to write to, of what is not measured now
    #[arg(long)]
    keep: bool,
    /// Say what is measured
    #[arg(long)]
    list: bool,
    /// The folder of the peers' programs; without them they are left out
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,
    /// The folder to write to
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// The folder of texts that belong on the page
    #[arg(long, value_name = "FOLDER", default_value = "bench/notes")]
    notes: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn earlier(path: &Path) -> Result<Results, Failure> {
    let read = || Ok::<_, Failure>(serde_json::from_str(&std::fs::read_to_string(path)?)?);
    read().map_err(|error: Failure| {
        let path = path.display();
        format!("there is no earlier run to keep in {path}: {error}; leave out --keep").into()
    })
}

async fn run(options: Options) -> Result<(), Failure> {
    let all = measures::all();
    if options.list {
        for measure in &all {
            println!("{:10} {}", measure.name, measure.title);
        }
        return Ok(());
    }
    if let Some(unknown) = options
        .only
        .iter()
        .find(|name| all.iter().all(|one| one.name != **name))
    {
        return Err(
            format!("no measure is called {unknown:?}; --list says which there are").into(),
        );
    }
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    // Before anything is measured that would be lost for want of it.
    let earlier = match options.keep {
        true => Some(earlier(&options.out.join("benchmark.json"))?),
        false => None,
    };
    let lab = Lab::new(options.quick, options.peers)?;
    let machine = Machine::this();
    let (began, clock) = (now(), Instant::now());
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for measure in all.iter().filter(|measure| wanted(measure.name)) {
        eprintln!("{} …", measure.title);
        let one = Instant::now();
        match measure.run(&lab).await {
            Ok(measured) => {
                measured.iter().for_each(Row::tell);
                rows.extend(measured);
            }
            // What the others found is not lost for it.
            Err(error) => {
                lab.left_out(format!("{}: {error}", measure.title));
                failed.push(measure.name);
            }
        }
        eprintln!("  {:.0} s", one.elapsed().as_secs_f64());
    }
    let (mut versions, left_out) = lab.noted();
    versions.insert("Jackfield".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    versions.insert("Rust".to_owned(), said("rustc", &["--version"]));
    let mut results = Results {
        began,
        took: clock.elapsed().as_secs_f64(),
        quick: options.quick,
        machine,
        versions,
        rows,
        left_out,
    };
    if let Some(earlier) = earlier {
        results.keep(earlier);
        let place = |row: &Row| all.iter().position(|measure| measure.name == row.group);
        results.rows.sort_by_key(place);
    }
    let targets = results.rows.iter().flat_map(|row| &row.targets);
    let missed = targets.filter(|target| !target.met).count();
    report::write(&results, &options.out, &options.notes)?;
    println!(
        "{}: {} rows, {missed} targets missed",
        options.out.join("benchmark.md").display(),
        results.rows.len()
    );
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("these failed: {}", failed.join(", ")).into()),
    }
}
