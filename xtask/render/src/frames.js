// Recorded answers of Prometheus as the frames that Grafana's data source would hand to a panel.
import { FieldType, toDataFrame } from '@grafana/data';

const SERIES_LABEL = /\{\{\s*([^}\s]+)\s*\}\}/g;

/** `{{name}}` filled in; without a format, as Grafana names a series by itself. */
export function legendOf(format, labels) {
  if (format && format !== '__auto') {
    return format.replace(SERIES_LABEL, (_, name) => labels[name] ?? '');
  }
  const { __name__: name = '', ...rest } = labels;
  const text = Object.entries(rest).map(([key, value]) => `${key}="${value}"`).join(', ');
  return text ? `${name}{${text}}` : name || 'Value';
}

/** What a recording has for a target; `undefined` where it was never asked. */
export function answerTo(target, recording) {
  return (target.instant ? recording.instant : recording.range)[target.expr];
}

/** The frames of one panel, the same that Grafana's Prometheus data source makes of each format. */
export function framesOf(panel, recording) {
  const targets = panel.targets ?? [];
  return targets.flatMap((target) => {
    const series = answerTo(target, recording) ?? [];
    switch (target.format) {
      case 'table':
        return [tableFrame(target, series, targets.length, recording)];
      case 'heatmap':
        return heatmapFrames(target, series, recording);
      default:
        return series.map((one) => seriesFrame(target, one, recording));
    }
  });
}

function times(target, { head }) {
  if (target.instant) {
    return [head.to * 1000];
  }
  const length = Math.floor((head.to - head.from) / head.step) + 1;
  return Array.from({ length }, (_, index) => (head.from + index * head.step) * 1000);
}

function seriesFrame(target, { labels, values }, recording) {
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: times(target, recording), config: { interval: recording.head.step * 1000 } },
      {
        name: 'Value',
        type: FieldType.number,
        labels,
        values,
        config: { displayNameFromDS: legendOf(target.legendFormat, labels) },
      },
    ],
  });
}

function tableFrame(target, series, targets, recording) {
  const names = [...new Set(series.flatMap((one) => Object.keys(one.labels)))].sort();
  const value = targets > 1 ? `Value #${target.refId}` : 'Value';
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map(() => recording.head.to * 1000) },
      ...names.map((name) => ({ name, type: FieldType.string, values: series.map((one) => one.labels[name] ?? '') })),
      { name: value, type: FieldType.number, values: series.map((one) => one.values[0]) },
    ],
  });
}

/** Buckets count what is at most their bound: each less the one before is what lies between the bounds. */
function heatmapFrames(target, series, recording) {
  const bound = (one) => (one.labels.le === '+Inf' ? Infinity : Number(one.labels.le));
  const sorted = [...series].sort((a, b) => bound(a) - bound(b));
  return sorted.map((one, index) => {
    const below = sorted[index - 1];
    const values = one.values.map((value, at) => (value === null ? null : Math.max(0, value - (below?.values[at] ?? 0))));
    return seriesFrame(target, { labels: one.labels, values }, recording);
  });
}
