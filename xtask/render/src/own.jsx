// Three kinds whose drawing Grafana keeps in its application: drawn here as it does, on `@grafana/ui`'s plots, legends and colours.
import { getFieldDisplayName, getFieldDisplayValues } from '@grafana/data';
import { AxisPlacement, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { UPlotChart, UPlotConfigBuilder, VizLayout, VizLegend } from '@grafana/ui';

import { theme } from './grafana.js';

const LEGEND = { displayMode: 'list', placement: 'bottom' };

/** Rows on a time axis, painted by `paint(plot)`. */
function Rows({ names, times, recording, width, height, paint }) {
  const { head } = recording;
  const builder = new UPlotConfigBuilder('utc');
  builder.addScale({
    scaleKey: 'x',
    isTime: true,
    orientation: ScaleOrientation.Horizontal,
    direction: ScaleDirection.Right,
    range: () => [head.from * 1000, head.to * 1000],
  });
  builder.addScale({
    scaleKey: 'y',
    orientation: ScaleOrientation.Vertical,
    direction: ScaleDirection.Up,
    range: () => [0, names.length],
  });
  builder.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone: 'utc', theme, grid: { show: false } });
  builder.addAxis({
    scaleKey: 'y',
    placement: AxisPlacement.Left,
    theme,
    grid: { show: false },
    ticks: { show: false },
    splits: () => names.map((_, row) => row + 0.5),
    values: () => names,
  });
  builder.addSeries({ scaleKey: 'y', theme, show: true, pxAlign: false, drawStyle: 'line', lineWidth: 0, showPoints: 'never' });
  builder.addHook('draw', paint);
  return <UPlotChart config={builder} data={[times, times.map(() => null)]} width={width} height={height} timeRange={null} />;
}

const valuesOf = (frame) => frame.fields.find((field) => field.type === 'number');
const timesOf = (frame) => frame.fields.find((field) => field.type === 'time').values;

/** Spans in which a value stays, with where each begins and ends. */
function spans(values, times, end) {
  const all = [];
  values.forEach((value, at) => {
    const last = all.at(-1);
    const to = times[at + 1] ?? end;
    if (last && last.value === value) {
      last.to = to;
    } else {
      all.push({ value, from: times[at], to });
    }
  });
  return all.filter((span) => span.value !== null);
}

export function StateTimeline({ panel, frames, width, height, recording }) {
  const shown = [...frames].reverse();
  const times = timesOf(frames[0]);
  const { fillOpacity = 70 } = panel.fieldConfig.defaults.custom ?? {};
  const paint = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px ${theme.typography.fontFamily}`;
    ctx.textAlign = 'left';
    ctx.textBaseline = 'middle';
    shown.forEach((frame, row) => {
      const field = valuesOf(frame);
      const [bottom, top] = [row, row + 1].map((y) => plot.valToPos(y, 'y', true));
      const gap = ((bottom - top) * (1 - panel.options.rowHeight)) / 2;
      for (const span of spans(field.values, timesOf(frame), recording.head.to * 1000)) {
        const { color, text } = field.display(span.value);
        const [left, right] = [span.from, span.to].map((x) => plot.valToPos(x, 'x', true));
        ctx.globalAlpha = fillOpacity / 100;
        ctx.fillStyle = color;
        ctx.fillRect(left, top + gap, right - left, bottom - top - 2 * gap);
        ctx.globalAlpha = 1;
        ctx.fillStyle = theme.colors.getContrastText(color);
        if (panel.options.showValue !== 'never' && ctx.measureText(text).width + 8 < right - left) {
          ctx.fillText(text, left + 4, (top + bottom) / 2);
        }
      }
    });
    ctx.restore();
  };
  const names = shown.map((frame) => getFieldDisplayName(valuesOf(frame), frame, frames));
  const states = new Map();
  for (const frame of frames) {
    const field = valuesOf(frame);
    for (const value of field.values.filter((value) => value !== null)) {
      const { color, text } = field.display(value);
      states.set(text, { label: text, color, yAxis: 1 });
    }
  }
  return (
    <VizLayout width={width} height={height} legend={<VizLayout.Legend placement="bottom"><VizLegend {...LEGEND} items={[...states.values()]} /></VizLayout.Legend>}>
      {(inner, innerHeight) => <Rows {...{ names, times, recording, paint }} width={inner} height={innerHeight} />}
    </VizLayout>
  );
}

const ORANGES = ['#2b1105', '#5a2207', '#8f370a', '#c9530f', '#f3812f', '#fdb77d', '#fee6ce'];

export function Heatmap({ frames, width, height, recording }) {
  const times = timesOf(frames[0]);
  const most = Math.max(...frames.flatMap((frame) => valuesOf(frame).values).filter((value) => value !== null), 0);
  const paint = (plot) => {
    const { ctx } = plot;
    ctx.save();
    frames.forEach((frame, row) => {
      const [bottom, top] = [row, row + 1].map((y) => plot.valToPos(y, 'y', true));
      valuesOf(frame).values.forEach((value, at) => {
        if (!value) {
          return;
        }
        const [left, right] = [times[at], times[at] + recording.head.step * 1000].map((x) => plot.valToPos(x, 'x', true));
        ctx.fillStyle = ORANGES[Math.min(ORANGES.length - 1, Math.floor(Math.sqrt(value / most) * ORANGES.length))];
        ctx.fillRect(left, top + 1, right - left - 1, bottom - top - 2);
      });
    });
    ctx.restore();
  };
  const names = frames.map((frame) => getFieldDisplayName(valuesOf(frame), frame, frames));
  return <Rows {...{ names, times, recording, width, height, paint }} />;
}

/** A slice's path on a circle of radius 1, from and to being shares of the whole. */
function slice(from, to) {
  if (to - from >= 1) {
    return 'M 0 -1 A 1 1 0 1 1 0 1 A 1 1 0 1 1 0 -1 Z';
  }
  const point = (share) => [Math.sin(share * 2 * Math.PI), -Math.cos(share * 2 * Math.PI)].join(' ');
  return `M 0 0 L ${point(from)} A 1 1 0 ${to - from > 0.5 ? 1 : 0} 1 ${point(to)} Z`;
}

export function Pie({ panel, frames, width, height }) {
  const all = getFieldDisplayValues({
    data: frames,
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  }).map((one) => one.display);
  const whole = all.reduce((sum, one) => sum + one.numeric, 0);
  let from = 0;
  const slices = all.map((one) => {
    const share = whole > 0 ? one.numeric / whole : 0;
    const path = slice(from, from + share);
    from += share;
    return <path key={one.title} d={path} fill={one.color} stroke={theme.colors.background.primary} strokeWidth={0.01} />;
  });
  const items = all.map((one) => ({
    label: one.title,
    color: one.color,
    yAxis: 1,
    getDisplayValues: () => [
      { title: 'Value', numeric: one.numeric, text: one.text, suffix: one.suffix },
      { title: 'Percent', numeric: one.numeric / whole, text: whole > 0 ? `${Math.round((100 * one.numeric) / whole)}%` : '' },
    ],
  }));
  const { displayMode, placement } = panel.options.legend;
  return (
    <VizLayout width={width} height={height} legend={<VizLayout.Legend placement={placement} maxWidth="50%"><VizLegend displayMode={displayMode} placement={placement} items={items} /></VizLayout.Legend>}>
      {(inner, innerHeight) => (
        <svg width={inner} height={innerHeight} viewBox="-1.05 -1.05 2.1 2.1">{whole > 0 ? slices : <circle r={1} fill={theme.colors.background.secondary} />}</svg>
      )}
    </VizLayout>
  );
}
