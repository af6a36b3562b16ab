//! What a run found, as it stands in the JSON file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::stats::Spread;

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    /// When it began, RFC 3339 in UTC.
    pub began: String,
    /// How long it took, in seconds.
    pub took: f64,
    /// Whether it was only to see that everything works: the figures mean nothing then.
    pub quick: bool,
    /// Where.
    pub machine: Machine,
    /// What was measured.
    pub versions: BTreeMap<String, String>,
    /// The measures, in their order.
    pub rows: Vec<Row>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// One thing that was measured, of everybody who can do it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// Short and without spaces: `call-one-p50`.
    pub id: String,
    /// The measure that it belongs to.
    pub group: String,
    /// What was measured, for people.
    pub what: String,
    /// `µs`, `calls/s` …
    pub unit: String,
    /// Whether more is better.
    pub more_is_better: bool,
    /// Everybody who took part; the figures of one round stand at the same place.
    pub contestants: Vec<Contestant>,
    /// What is to be reached.
    pub targets: Vec<Target>,
    /// What is to be known when reading it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// One who took part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contestant {
    /// `Jackfield`, `bare WebSocket` …
    pub name: String,
    /// What is compared.
    pub role: Role,
    /// One figure for each round.
    pub rounds: Vec<f64>,
    /// Of these.
    pub spread: Spread,
}

/// What a contestant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Jackfield.
    Ours,
    /// The bare library: nobody can be better.
    Floor,
    /// What somebody would take instead.
    Peer,
}

/// What is to be reached, and what was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// Who is to reach it.
    pub who: String,
    /// Beside whom.
    pub against: String,
    /// How much of that: the ratio is to be at most this, or where more is better at least this.
    pub factor: f64,
    /// So much more, in the row's unit.
    #[serde(default)]
    pub plus: f64,
    /// The ratio of each round.
    pub ratio: Spread,
    /// Whether the median of the ratios reaches it (with `plus`, the medians).
    pub met: bool,
}

impl Results {
    /// Adds what an earlier run found of all that this one did not measure. It began then.
    pub fn keep(&mut self, earlier: Self) {
        let measured = |group: &str| self.rows.iter().any(|row| row.group == group);
        let kept: Vec<Row> = earlier
            .rows
            .into_iter()
            .filter(|row| !measured(&row.group))
            .collect();
        self.rows.extend(kept);
        self.began = earlier.began;
        self.took += earlier.took;
        self.quick |= earlier.quick;
        for (name, version) in earlier.versions {
            self.versions.entry(name).or_insert(version);
        }
    }
}

impl Row {
    /// A row without anybody in it.
    #[must_use]
    pub fn new(group: &str, id: &str, what: &str, unit: &str) -> Self {
        Self {
            id: id.to_owned(),
            group: group.to_owned(),
            what: what.to_owned(),
            unit: unit.to_owned(),
            more_is_better: false,
            contestants: Vec::new(),
            targets: Vec::new(),
            note: String::new(),
        }
    }

    /// More is better.
    #[must_use]
    pub fn more_is_better(mut self) -> Self {
        self.more_is_better = true;
        self
    }

    /// What is to be known when reading it.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        note.clone_into(&mut self.note);
        self
    }

    /// One more who took part.
    pub fn add(&mut self, name: &str, role: Role, rounds: Vec<f64>) {
        self.contestants.push(Contestant {
            name: name.to_owned(),
            role,
            spread: Spread::of(&rounds),
            rounds,
        });
    }

    /// What `who` is to reach beside `against`. Of nobody who did not take part.
    #[must_use]
    pub fn target(self, who: &str, against: &str, factor: f64) -> Self {
        self.target_plus(who, against, factor, 0.0)
    }

    /// The same, and so much more in the row's unit.
    #[must_use]
    pub fn target_plus(mut self, who: &str, against: &str, factor: f64, plus: f64) -> Self {
        let found = |name: &str| self.contestants.iter().find(|one| one.name == name);
        if let (Some(ours), Some(theirs)) = (found(who), found(against)) {
            let ratio = Spread::of_ratios(&ours.rounds, &theirs.rounds);
            let met = match (self.more_is_better, plus == 0.0) {
                (true, _) => ratio.median >= factor,
                (false, true) => ratio.median <= factor,
                (false, false) => ours.spread.median <= theirs.spread.median * factor + plus,
            };
            self.targets.push(Target {
                who: who.to_owned(),
                against: against.to_owned(),
                factor,
                plus,
                ratio,
                met,
            });
        }
        self
    }

    /// Tells it on standard error, for those who watch.
    pub fn tell(&self) {
        eprintln!("  {} ({})", self.what, self.unit);
        for one in &self.contestants {
            let Spread { median, low, high } = one.spread;
            eprintln!("    {:28} {median:12.2} ({low:.2} to {high:.2})", one.name);
        }
        for target in &self.targets {
            let Target {
                who,
                against,
                ratio,
                factor,
                plus,
                met,
                ..
            } = target;
            let met = if *met { "" } else { "  MISSED" };
            let Spread { median, low, high } = ratio;
            eprintln!(
                "    {who} / {against}: {median:.2} ({low:.2} to {high:.2}), target {factor:.2} + {plus}{met}"
            );
        }
    }
}
