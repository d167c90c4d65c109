// What Grafana's application sets up before it draws a panel, as far as these dashboards need it.
import {
  FieldColorModeId,
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createTheme,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  Registry,
  standardTransformers,
  standardTransformersRegistry,
  thresholdsOverrideProcessor,
  transformDataFrame,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

export const theme = createTheme({ colors: { mode: 'dark' } });

const PROCESSORS = {
  color: identityOverrideProcessor,
  decimals: numberOverrideProcessor,
  displayName: displayNameOverrideProcessor,
  links: dataLinksOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  max: numberOverrideProcessor,
  min: numberOverrideProcessor,
  noValue: identityOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  unit: unitOverrideProcessor,
};

/** Every property that a dashboard sets, so that its overrides take effect as in Grafana. */
function registryFor(panel) {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const set = overrides.flatMap((override) => override.properties.map((property) => property.id));
  const custom = [...Object.keys(defaults.custom ?? {}).map((name) => `custom.${name}`), ...set];
  const ids = new Set([...Object.keys(PROCESSORS), ...custom.filter((id) => id.startsWith('custom.'))]);
  const items = [...ids].map((id) => {
    const isCustom = id.startsWith('custom.');
    return {
      id,
      path: isCustom ? id.slice('custom.'.length) : id,
      name: id,
      isCustom,
      process: PROCESSORS[id] ?? identityOverrideProcessor,
      shouldApply: () => true,
    };
  });
  return new Registry(() => items);
}

/** Called once, before the first panel. */
export function setUp() {
  standardTransformersRegistry.setInit(() =>
    // Some stand there under two names.
    [...new Map(Object.values(standardTransformers).map((one) => [one.id, one])).values()].map((transformation) => ({
      id: transformation.id,
      transformation,
      name: transformation.name,
      editor: () => null,
    }))
  );
}

/** A panel's frames after its transformations, fields and overrides. */
export async function prepared(panel, frames) {
  const context = { interpolate: (text) => text };
  const made = await lastValueFrom(transformDataFrame(panel.transformations ?? [], frames, context));
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const fields = applyFieldOverrides({
    data: made,
    fieldConfig: { defaults: { color: { mode: FieldColorModeId.Thresholds }, ...defaults }, overrides },
    fieldConfigRegistry: registryFor(panel),
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(fields);
  return fields;
}
