//! Where panels stand: lines of 24 columns, filled from the left, each as high as its highest panel.

use super::json::GridPos;

/// The columns of Grafana's grid.
pub(crate) const COLUMNS: u32 = 24;

/// Places panels one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    x: u32,
    y: u32,
    line: u32,
}

impl Flow {
    /// Begins at this line.
    pub(crate) const fn at(y: u32) -> Self {
        Self { x: 0, y, line: 0 }
    }

    /// The place of the next panel.
    pub(crate) fn place(&mut self, (width, height): (u8, u8)) -> GridPos {
        let (w, h) = (u32::from(width).clamp(1, COLUMNS), u32::from(height).max(1));
        if self.x + w > COLUMNS {
            self.break_line();
        }
        let place = GridPos { h, w, x: self.x, y: self.y };
        self.x += w;
        self.line = self.line.max(h);
        place
    }

    fn break_line(&mut self) {
        self.y += self.line;
        self.x = 0;
        self.line = 0;
    }

    /// The first line below everything.
    pub(crate) fn end(mut self) -> u32 {
        self.break_line();
        self.y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_filled_and_never_overlap() {
        let mut flow = Flow::at(3);
        let places: Vec<GridPos> =
            [(12, 8), (12, 4), (24, 2), (6, 5), (30, 1)].map(|size| flow.place(size)).into();
        let at: Vec<_> = places.iter().map(|place| (place.x, place.y)).collect();
        assert_eq!(at, [(0, 3), (12, 3), (0, 11), (0, 13), (0, 18)]);
        assert_eq!(places[4].w, COLUMNS);
        assert_eq!(flow.end(), 19);
    }
}
