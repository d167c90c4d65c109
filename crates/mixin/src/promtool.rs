//! Tests of rules, as `promtool test rules` reads them.

use std::time::Duration;

use crate::setting::duration;
use crate::yaml::Yaml;

/// A file of tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct TestFile {
    rule_files: Vec<String>,
    tests: Vec<Test>,
}

impl TestFile {
    /// Of the rules in these files, relative to the test file.
    pub fn of(rule_files: impl IntoIterator<Item = String>) -> Self {
        Self { rule_files: rule_files.into_iter().collect(), tests: Vec::new() }
    }

    /// One more test.
    pub fn push(&mut self, test: Test) {
        self.tests.push(test);
    }

    /// The file.
    #[must_use]
    pub fn text(&self, comment: &str) -> String {
        let files = self.rule_files.iter().map(Yaml::text).collect();
        let tests = self.tests.iter().map(Test::yaml).collect();
        Yaml::Map(vec![
            ("rule_files", Yaml::List(files)),
            ("evaluation_interval", Yaml::plain("1m")),
            ("tests", Yaml::List(tests)),
        ])
        .document(comment)
    }
}

/// Series over time and what is expected of rules at some moments. A sample stands for each minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Test {
    pub(crate) name: String,
    pub(crate) series: Vec<InputSeries>,
    pub(crate) alerts: Vec<AlertTest>,
    pub(crate) queries: Vec<QueryTest>,
}

/// One series over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputSeries {
    pub(crate) name: String,
    pub(crate) values: String,
}

/// Which alerts of a name fire at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlertTest {
    pub(crate) minute: u64,
    pub(crate) alert: String,
    pub(crate) firing: Vec<Firing>,
}

/// A firing alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firing {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) annotations: Vec<(String, String)>,
}

/// What a query yields at a moment: these series with these values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueryTest {
    pub(crate) minute: u64,
    pub(crate) query: String,
    pub(crate) samples: Vec<(String, f64)>,
}

impl Eq for QueryTest {}

fn minute(minute: u64) -> Yaml {
    Yaml::plain(duration(Duration::from_secs(minute * 60)))
}

impl Test {
    /// With this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A series that has one sample for each minute, in promtool's notation.
    pub fn series(mut self, name: impl Into<String>, values: impl Into<String>) -> Self {
        self.series.push(InputSeries { name: name.into(), values: values.into() });
        self
    }

    /// Expects series with these values from a query.
    pub fn query(mut self, minute: u64, query: impl Into<String>, samples: &[(&str, f64)]) -> Self {
        let samples = samples.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        self.queries.push(QueryTest { minute, query: query.into(), samples });
        self
    }

    pub(crate) fn alert(mut self, minute: u64, alert: &str, firing: Vec<Firing>) -> Self {
        self.alerts.push(AlertTest { minute, alert: alert.to_owned(), firing });
        self
    }

    fn yaml(&self) -> Yaml {
        let series = self.series.iter().map(|series| {
            Yaml::Map(vec![("series", Yaml::text(&series.name)), ("values", Yaml::text(&series.values))])
        });
        let mut test = vec![
            ("name", Yaml::text(&self.name)),
            ("interval", Yaml::plain("1m")),
            ("input_series", Yaml::List(series.collect())),
        ];
        if !self.alerts.is_empty() {
            test.push(("alert_rule_test", Yaml::List(self.alerts.iter().map(AlertTest::yaml).collect())));
        }
        if !self.queries.is_empty() {
            test.push(("promql_expr_test", Yaml::List(self.queries.iter().map(QueryTest::yaml).collect())));
        }
        Yaml::Map(test)
    }
}

impl AlertTest {
    fn yaml(&self) -> Yaml {
        let firing = self.firing.iter().map(|firing| {
            Yaml::Map(vec![
                ("exp_labels", Yaml::Texts(firing.labels.clone())),
                ("exp_annotations", Yaml::Texts(firing.annotations.clone())),
            ])
        });
        Yaml::Map(vec![
            ("eval_time", minute(self.minute)),
            ("alertname", Yaml::plain(&self.alert)),
            ("exp_alerts", Yaml::List(firing.collect())),
        ])
    }
}

impl QueryTest {
    fn yaml(&self) -> Yaml {
        let samples = self.samples.iter().map(|(name, value)| {
            Yaml::Map(vec![("labels", Yaml::text(name)), ("value", Yaml::plain(value.to_string()))])
        });
        Yaml::Map(vec![
            ("eval_time", minute(self.minute)),
            ("expr", Yaml::text(&self.query)),
            ("exp_samples", Yaml::List(samples.collect())),
        ])
    }
}
