//! Being written.
pub(crate) struct Report;
impl std::fmt::Display for Report {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
impl Report {
    pub(crate) fn is_well(&self) -> bool {
        true
    }
}
pub(crate) fn examine(_: &crate::config::settings::Settings) -> Report {
    Report
}
