import type { Store } from "#runtime/store.ts";
import {
  addCountries,
  addUp,
  type ByCountry,
  countriesOfDays,
  countriesOfTotal,
  cutHour,
  firstHourOf,
  type Numbers,
  type Period,
  periodOf,
  type Question,
} from "./analytics.ts";
import { countryModel, dayModel, totalModel, touchModel } from "./model.ts";
import { codeScope, DAY_SLOTS, shelfOf } from "./scope.ts";

/** A code behind a wall of a workspace. */
export interface Code {
  workspace: string;
  wall: string;
  codeId: string;
}

/** The numbers of a code over a period. */
export interface Analytics {
  period: Period;
  numbers: Numbers;
  countries: ByCountry;
}

/** Reads what a question asks of a code; undefined: it asks since the first scan, and there is none. */
export async function readAnalytics(store: Store, code: Code, question: Question): Promise<Analytics | undefined> {
  const scope = codeScope(code.wall, code.codeId);
  const total = await store.collection(totalModel).of(code.workspace).get(scope);
  const period = periodOf(question, total);
  if (period === undefined) return undefined;
  const numbers = await readNumbers(store, { ...code, scope, period });
  const countries =
    period.isWhole && total ? countriesOfTotal(total) : await readCountries(store, { ...code, scope, period });
  return { period, numbers, countries };
}

interface Asked extends Code {
  scope: string;
  period: Period;
}

async function readNumbers(store: Store, { workspace, scope, period }: Asked): Promise<Numbers> {
  const day = { gte: Math.floor(period.firstSlot / DAY_SLOTS) };
  const days = await store
    .collection(dayModel)
    .of(workspace)
    .find({ where: { scope, day }, sort: [["day", 1]] });
  return addUp(days, period);
}

async function readCountries(store: Store, { workspace, wall, codeId, scope, period }: Asked): Promise<ByCountry> {
  const day = { gte: Math.floor(period.firstSlot / DAY_SLOTS) };
  const days = await store
    .collection(countryModel)
    .of(workspace)
    .find({ where: { scope, day }, sort: [["day", 1]] });
  const countries = countriesOfDays(days, firstHourOf(period.firstSlot));
  const cut = cutHour(period);
  if (cut === undefined) return countries;
  const where = { codeId, shelf: shelfOf(wall, true), scannedAt: { gte: cut.from, lt: cut.until } };
  const scans = store
    .collection(touchModel)
    .of(workspace)
    .stream({ where, sort: [["scannedAt", 1]] });
  for await (const docs of scans) addCountries(countries, docs);
  return countries;
}
