//! One run: what happens, laid before the gate as it happens.

use tidegate_agent::domain::gate::{
    Arms, DeviceOutcome, GateAction, GateFacts, GateReading, GateSettings, HALT_AT, Logrank, Look, LostTest,
    Metric, StepCounts, StepProgress, StepWeights, Verdict, e_bad, is_blind, judge,
};

use crate::gate::chance::Chance;
use crate::gate::population::Population;
use crate::gate::timeline::{Compared, Event, MAX_HOURS, Timeline, Told, whole};

/// How long ramp and bake of a step take, in hours.
const BAKE_HOURS: usize = 24;

/// A halt by one test.
#[derive(Clone, Debug)]
pub(crate) struct Halt {
    /// Hours since the rollout began.
    pub hours: f64,
    /// The step, from 0.
    pub step: usize,
    /// This step's devices that had the whole file.
    pub sent: u64,
    /// What the gate says.
    pub sentence: String,
}

/// What came of one run. It goes on after a halt, so that each test's first one is seen.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The first halt by each test, in the order of [`Metric::ALL`].
    pub halts: [Option<Halt>; 4],
    /// Whether the gate let the plan advance at the end of any hour.
    pub advanced: bool,
    /// Hours at whose end the gate was blind.
    pub blind_hours: Vec<usize>,
}

impl Run {
    /// The first halt by any test.
    pub(crate) fn first_halt(&self) -> Option<&Halt> {
        self.halts
            .iter()
            .flatten()
            .min_by(|one, other| one.hours.total_cmp(&other.hours))
    }
}

/// Plays one run. `reads_hourly`: whether the gate is also read in full at the end of each hour, which only those need
/// who ask whether it advances or is blind.
pub(crate) fn play(population: &Population, chance: &mut Chance, reads_hourly: bool) -> Run {
    let timeline = Timeline::draw(population, chance);
    let mut gate = Gate::new(population);
    let mut run = Run::default();
    let mut hour = 0;
    let mut events = timeline.events.as_slice();
    while let Some((at, _)) = events.first() {
        let many = events.partition_point(|(other, _)| other == at);
        let (now, later) = events.split_at(many);
        while reads_hourly && *at >= (hour + 1) * 3_600 {
            gate.read_hour(&timeline, hour as usize, &mut run);
            hour += 1;
        }
        gate.look(*at, now, &mut run);
        events = later;
    }
    while reads_hourly && (hour as usize) < timeline.polls_seen.len() {
        gate.read_hour(&timeline, hour as usize, &mut run);
        hour += 1;
    }
    run
}

/// Who is at risk of one comparison, by stratum, in either arm.
type AtRisk = Vec<[u64; 2]>;

/// What a server keeps for the gate.
struct Gate<'a> {
    population: &'a Population,
    settings: GateSettings,
    weights: StepWeights,
    steps: Vec<StepCounts>,
    outcomes: Vec<Vec<DeviceOutcome>>,
    at_risk: [AtRisk; 3],
    lost: LostTest,
    crashing: Logrank,
    arms: Arms,
}

impl<'a> Gate<'a> {
    fn new(population: &'a Population) -> Self {
        let strata = population.steps.len() * usize::from(MAX_HOURS);
        let outcomes = |devices: u32| vec![DeviceOutcome::default(); devices as usize];
        Self {
            population,
            settings: GateSettings::default(),
            weights: StepWeights::equal(population.plan).unwrap_or_default(),
            steps: vec![StepCounts::default()],
            outcomes: population
                .steps
                .iter()
                .map(|step| outcomes(step.treated))
                .collect(),
            at_risk: [vec![[0; 2]; strata], vec![[0; 2]; strata], vec![[0; 2]; strata]],
            lost: LostTest::default(),
            crashing: Logrank::default(),
            arms: Arms::default(),
        }
    }

    /// Takes in what happened in one second, and halts where a test says so.
    fn look(&mut self, at: u32, events: &[(u32, Event)], run: &mut Run) {
        let befallen = events.partition_point(|(_, event)| matches!(event, Event::Befell { .. }));
        let (befell, others) = events.split_at(befallen);
        if !befell.is_empty() {
            self.compare(befell);
            if self.lost.evidence().reaches(HALT_AT) {
                self.halt(at, Metric::Lost, run);
            }
            if self.crashing.evidence().reaches(HALT_AT) {
                self.halt(at, Metric::Crashing, run);
            }
        }
        for (_, event) in others {
            match *event {
                Event::Enters { stratum, is_treated } => self.enter(stratum, is_treated),
                Event::Outcome { step, device, told } => self.tell(at, step, device, told, run),
                Event::Befell { .. } => {}
            }
        }
    }

    fn enter(&mut self, stratum: u16, is_treated: bool) {
        for at_risk in &mut self.at_risk {
            at_risk[usize::from(stratum)][usize::from(is_treated)] += 1;
        }
        match is_treated {
            true => self.arms.treated += 1,
            false => self.arms.control += 1,
        }
    }

    /// Adds the looks of all strata in which something happened. The events are sorted by comparison and stratum.
    fn compare(&mut self, events: &[(u32, Event)]) {
        let key = |event: &Event| match *event {
            Event::Befell { what, stratum, .. } => Some((what, stratum)),
            _ => None,
        };
        for of_one in events.chunk_by(|(_, one), (_, other)| key(one) == key(other)) {
            let Some((what, stratum)) = key(&of_one[0].1) else {
                continue;
            };
            let treated_events = of_one
                .iter()
                .filter(|(_, event)| matches!(event, Event::Befell { is_treated: true, .. }))
                .count() as u64;
            let at_risk = &mut self.at_risk[what as usize][usize::from(stratum)];
            let look = Look {
                treated: at_risk[1],
                control: at_risk[0],
                treated_events,
                control_events: of_one.len() as u64 - treated_events,
            };
            at_risk[1] = at_risk[1].saturating_sub(look.treated_events);
            at_risk[0] = at_risk[0].saturating_sub(look.control_events);
            match what {
                Compared::Short => self.lost.short.add(look),
                Compared::Long => self.lost.long.add(look),
                Compared::Crashing => self.crashing.add(look),
            }
        }
    }

    fn tell(&mut self, at: u32, step: u16, device: u32, told: Told, run: &mut Run) {
        let step = usize::from(step);
        if self.steps.len() <= step {
            self.steps.resize(step + 1, StepCounts::default());
        }
        let counts = &mut self.steps[step];
        let outcome = &mut self.outcomes[step][device as usize];
        let before = *outcome;
        match told {
            Told::Reached => counts.reach(),
            Told::Begun => outcome.begun = true,
            Told::Sent => outcome.sent = true,
            Told::Corrupt => (outcome.corrupt, outcome.in_trouble) = (true, true),
            Told::Trouble => outcome.in_trouble = true,
            Told::Failed => (outcome.failed, outcome.in_trouble) = (true, true),
            Told::Confirmed => (outcome.confirmed, outcome.in_trouble) = (true, false),
        }
        counts.change(before, *outcome);
        // Nothing else makes the evidence rise.
        match told {
            Told::Failed => self.look_at_failed(at, run),
            Told::Corrupt => self.look_at_corrupt(at, run),
            _ => {}
        }
    }

    fn look_at_failed(&mut self, at: u32, run: &mut Run) {
        let tolerance = self.settings.failed_percent;
        let steps = self
            .steps
            .iter()
            .map(|step| e_bad(step.sent, step.failed, tolerance));
        if self.weights.mean(steps).reaches(HALT_AT) {
            self.halt(at, Metric::Failed, run);
        }
    }

    fn look_at_corrupt(&mut self, at: u32, run: &mut Run) {
        let tolerance = self.settings.corrupt_percent;
        let steps = self
            .steps
            .iter()
            .map(|step| e_bad(step.begun, step.corrupt, tolerance));
        if self.weights.mean(steps).reaches(HALT_AT) {
            self.halt(at, Metric::Corrupt, run);
        }
    }

    /// Asks the gate itself: it may still want a third event.
    fn halt(&self, at: u32, metric: Metric, run: &mut Run) {
        let slot = &mut run.halts[metric as usize];
        if slot.is_some() {
            return;
        }
        let reading = self.read(StepProgress::Ramping, 0, (1, 1));
        if reading.verdict == Verdict::Bad(metric) {
            *slot = Some(Halt {
                hours: f64::from(at) / 3_600.0,
                step: self.steps.len() - 1,
                sent: self.steps.last().map_or(0, |step| step.sent),
                sentence: reading.sentence("1.2"),
            });
        }
    }

    fn read(&self, progress: StepProgress, waited_seconds: u64, polls: (u64, u64)) -> GateReading {
        let fleet: u32 = self
            .population
            .steps
            .iter()
            .map(|step| step.treated + step.control)
            .sum();
        let at_risk = self.at_risk[0]
            .iter()
            .fold([0, 0], |[control, treated], stratum| {
                [control + stratum[0], treated + stratum[1]]
            });
        let arms = Arms {
            control_at_risk: at_risk[0],
            treated_at_risk: at_risk[1],
            ..self.arms
        };
        let facts = GateFacts {
            fleet: u64::from(fleet),
            weights: self.weights.clone(),
            steps: self.steps.clone(),
            lost_arms: arms,
            lost: self.lost,
            crashing_arms: self.population.crashes.map(|_| arms),
            crashing: self.crashing,
            polls_expected: polls.0,
            polls_seen: polls.1,
            progress,
            waited_seconds,
        };
        judge(&self.settings, &facts)
    }

    /// Reads the gate at the end of an hour. Ramp and bake take a day.
    fn read_hour(&self, timeline: &Timeline, hour: usize, run: &mut Run) {
        let polls = (
            u64::from(whole(timeline.polls_expected[hour])),
            timeline.polls_seen[hour],
        );
        let (progress, waited_hours) = match hour.checked_sub(BAKE_HOURS) {
            None => (StepProgress::Baking, 0),
            Some(waited) => (StepProgress::Over, waited as u64),
        };
        let reading = self.read(progress, waited_hours * 3_600, polls);
        run.advanced |= reading.action == GateAction::Advance;
        // Not by the verdict alone: what halts would hide it.
        if is_blind(polls.0, polls.1) {
            run.blind_hours.push(hour);
        }
    }
}
