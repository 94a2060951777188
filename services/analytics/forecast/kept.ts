import { createHash } from "node:crypto";
import type { Collection, Store } from "#runtime/store.ts";
import { forecast } from "./forecast.ts";
import { type ForecastDoc, forecastModel } from "./model.ts";
import { dateOf } from "./zone.ts";

/** A workspace keeps so many; the oldest go first. */
const MOST_KEPT = 500;

/** What is forecast, and for whom. */
export interface Asked {
  workspace: string;
  test: boolean;
  /** All that makes a different question: link, tag, metric, zone, range. */
  question: readonly unknown[];
  days: number;
  level: number;
}

/** Daily counts up to a day. */
export interface Days {
  firstDay: number;
  lastDay: number;
  values: readonly number[];
}

/** The forecast of a question: the stored one while its days are the same, else a new one, which is stored. */
export async function keptForecast(
  { store, now }: { store: Store; now: number },
  asked: Asked,
  { firstDay, lastDay, values }: Days,
): Promise<ForecastDoc> {
  const { workspace, test, question, days, level } = asked;
  const forecasts = store.collection(forecastModel).of(workspace);
  const id = `forecast_${print([test, question, days, level])}`;
  const made = print([firstDay, lastDay, values]);
  const kept = await forecasts.get(id);
  if (kept?.made === made) return kept;
  const fresh = { test, lastDate: dateOf(lastDay), made, computedAt: now, forecast: forecast(values, { days, level }) };
  await forecasts.bulk([{ kind: "update", id, change: { set: fresh }, upsert: fresh }]);
  await forget(forecasts);
  return { id, ...fresh };
}

async function forget(forecasts: Collection<ForecastDoc>): Promise<void> {
  if ((await forecasts.count()) <= MOST_KEPT) return;
  const old = await forecasts.find({ sort: [["computedAt", 1]], limit: MOST_KEPT / 10 });
  await forecasts.bulk(old.map(({ id }) => ({ kind: "delete", id })));
}

function print(facts: unknown): string {
  const text = JSON.stringify(facts, (_key, value) => (typeof value === "bigint" ? String(value) : value));
  return createHash("sha256").update(text).digest("base64url").slice(0, 32);
}
