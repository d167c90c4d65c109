// Each kind of panel, drawn by the component that Grafana's own panel of that kind uses.
import { dateTime, getDisplayValueAlignmentFactors, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

import { Heatmap, Pie, StateTimeline } from './own.jsx';
import { answerTo } from './frames.js';
import { theme } from './grafana.js';

export const timeRange = ({ head }) => {
  const [from, to] = [dateTime(head.from * 1000), dateTime(head.to * 1000)];
  return { from, to, raw: { from, to } };
};

function Stat({ panel, frames, width, height }) {
  const { options } = panel;
  const values = () =>
    getFieldDisplayValues({
      data: frames,
      fieldConfig: panel.fieldConfig,
      reduceOptions: options.reduceOptions,
      replaceVariables: (text) => text,
      sparkline: options.graphMode !== 'none',
      theme,
      timeZone: 'utc',
    });
  return (
    <VizRepeater
      getValues={values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors, count }) => (
        <BigValue
          value={value.display}
          sparkline={value.sparkline}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          alignmentFactors={alignmentFactors}
          count={count}
          theme={theme}
          width={width}
          height={height}
        />
      )}
      source={frames}
      autoGrid
      orientation={VizOrientation.Auto}
      renderCounter={0}
      width={width}
      height={height}
    />
  );
}

/** Marks stand behind the lines, as in Grafana. */
function drawMarks(marks) {
  return (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const { time, color } of marks) {
      const x = Math.round(plot.valToPos(time, 'x', true));
      ctx.strokeStyle = theme.visualization.getColorByName(color);
      ctx.fillStyle = ctx.strokeStyle;
      ctx.lineWidth = 2;
      ctx.setLineDash([6, 6]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.beginPath();
      ctx.moveTo(x - 5, bbox.top + bbox.height + 8);
      ctx.lineTo(x + 5, bbox.top + bbox.height + 8);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.fill();
    }
    ctx.restore();
  };
}

const LINE_DEFAULTS = { drawStyle: 'line', showPoints: 'auto', axisPlacement: 'auto', pointSize: 5, lineWidth: 1 };

function Lines({ panel, frames, width, height, recording, marks }) {
  for (const field of frames.flatMap((frame) => frame.fields)) {
    field.config.custom = { ...LINE_DEFAULTS, ...field.config.custom };
  }
  return (
    <TimeSeries
      frames={frames}
      structureRev={1}
      timeRange={timeRange(recording)}
      timeZone="utc"
      legend={panel.options.legend}
      options={panel.options}
      width={width}
      height={height}
    >
      {(builder) => {
        builder.addHook('drawClear', drawMarks(marks));
        return null;
      }}
    </TimeSeries>
  );
}

function Table({ panel, frames, width, height }) {
  return (
    <TableNG
      data={frames[0]}
      width={width}
      height={height}
      cellHeight={panel.options.cellHeight}
      fieldConfig={panel.fieldConfig}
      initialSortBy={panel.options.sortBy}
      noHeader={!panel.options.showHeader}
      enableVirtualization={false}
      structureRev={1}
    />
  );
}

const KINDS = {
  heatmap: Heatmap,
  piechart: Pie,
  stat: Stat,
  'state-timeline': StateTimeline,
  table: Table,
  timeseries: Lines,
};

/** The inside of a panel. */
export function Inside(props) {
  const { panel, frames, width, height, recording } = props;
  const isEmpty = frames.every((frame) => frame.length === 0);
  const Kind = KINDS[panel.type];
  // A stat says by itself that it has no value.
  if (Kind && (!isEmpty || Kind === Stat)) {
    return <Kind {...props} />;
  }
  const isNewer = (panel.targets ?? []).some((target) => answerTo(target, recording) === undefined);
  const why = isNewer ? 'newer than the recording' : (panel.fieldConfig?.defaults?.noValue ?? 'No data');
  const text = Kind ? why : `a ${panel.type} cannot be drawn`;
  return <div style={{ width, height, display: 'grid', placeItems: 'center', color: theme.colors.text.secondary }}>{text}</div>;
}
