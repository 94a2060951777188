import { type Doc, defineModel } from "#runtime/model.ts";
import type { Forecast } from "./forecast.ts";

/** A forecast as stored: with the day up to which it is, and the counts that it was made from. */
export interface ForecastDoc extends Doc {
  /** Asked by a development key. */
  test: boolean;
  /** The last complete day that it knows: "2026-11-20". */
  lastDate: string;
  /** Fingerprint of the days it was made from. */
  made: string;
  /** Milliseconds since 1970. */
  computedAt: number;
  forecast: Forecast;
}

/** Forecasts with their back-tests, by question. */
export const forecastModel = defineModel<ForecastDoc>({
  name: "analytics.forecasts",
  fields: {
    test: { kind: "boolean", required: true },
    lastDate: { kind: "string", required: true },
    made: { kind: "string", required: true },
    computedAt: { kind: "number", required: true },
    forecast: { kind: "object", required: true },
  },
  indexes: [{ name: "computed", fields: ["computedAt"] }],
});
