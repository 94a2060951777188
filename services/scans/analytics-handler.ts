import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import type {
  ExplanationSchema,
  GetCodeAnalyticsRequest,
  GetCodeAnalyticsResponseSchema,
} from "#gen/waymark/scans/v1/scans_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
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
  ratio,
  topCountries,
} from "./analytics.ts";
import { type Granularity, isTimezone } from "./calendar.ts";
import { countryModel, dayModel, type TotalDoc, totalModel, touchModel } from "./model.ts";
import { scansProjection } from "./project.ts";
import { fail } from "./reasons.ts";
import { codeScope, DAY_SLOTS, shelfOf } from "./scope.ts";
import { sightOf } from "./sight.ts";
import { type Sources, tailOf } from "./tail.ts";
import { COUNTING_RULES } from "./tally.ts";
import type { Targets } from "./targets.ts";
import { VERDICT_RULES } from "./verdict.ts";
import type { Written } from "./written.ts";

/** What analytics stand on. */
export interface AnalyticsParts extends Sources {
  targets: Targets;
  written: Written;
}

type Reply = MessageInitShape<typeof GetCodeAnalyticsResponseSchema>;

/** The numbers of one code. Cost follows the days of the period, and not the scans. */
export async function getCodeAnalytics(
  request: GetCodeAnalyticsRequest,
  handler: HandlerContext,
  parts: AnalyticsParts,
): Promise<Reply> {
  const { qprCodeId, period: word = "30d" } = request;
  const { workspace, wall, floorDays } = sightOf(handler);
  const question = questionOf(request, { now: contextOf(handler).now(), floorDays });
  const codes = await parts.targets.find({ codeIds: new Set([qprCodeId]), shortIds: new Set() }, handler);
  if (!codes.byId.has(qprCodeId)) throw fail("CODE_NOT_FOUND", { codeId: qprCodeId });
  await parts.written.settled(workspace);
  const position = await parts.store.watermark(scansProjection.name);
  const code: Code = { workspace, wall, codeId: qprCodeId, scope: codeScope(wall, qprCodeId) };
  const total = await parts.store.collection(totalModel).of(workspace).get(code.scope);
  const period = periodOf(question, total);
  const numbers = period && (await readNumbers(parts.store, code, period));
  const countries = period && (await readCountries(parts.store, code, { period, total }));
  return {
    qprCodeId,
    period: word,
    ...figuresOf(numbers),
    topCountries:
      countries === undefined
        ? []
        : topCountries(countries).map(({ country, scans }) => ({ country, scans: BigInt(scans) })),
    timeseries: period === undefined || numbers === undefined ? [] : seriesOf(period, numbers),
    explain: request.explain ? await explain(parts, { position, numbers, now: question.now }) : undefined,
  };
}

interface Code {
  workspace: string;
  wall: string;
  codeId: string;
  scope: string;
}

function questionOf(request: GetCodeAnalyticsRequest, known: Pick<Question, "now" | "floorDays">): Question {
  const { period = "30d", granularity = "day", timezone: zone = "UTC" } = request;
  if (!isTimezone(zone))
    throw refuse("INVALID_FIELD", { field: "timezone", must: "must be an IANA time zone, as Europe/Paris" });
  const days = period === "all" ? undefined : Number.parseInt(period, 10);
  return { days, granularity: granularity as Granularity, zone, ...known };
}

async function readNumbers(store: Store, { workspace, scope }: Code, period: Period): Promise<Numbers> {
  const day = { gte: Math.floor(period.firstSlot / DAY_SLOTS) };
  const days = await store
    .collection(dayModel)
    .of(workspace)
    .find({ where: { scope, day }, sort: [["day", 1]] });
  return addUp(days, period);
}

async function readCountries(
  store: Store,
  { workspace, wall, codeId, scope }: Code,
  { period, total }: { period: Period; total: TotalDoc | undefined },
): Promise<ByCountry> {
  if (period.isWhole && total !== undefined) return countriesOfTotal(total);
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

function figuresOf(numbers: Numbers | undefined) {
  const { scans = 0, devices = 0, conversations = 0, messages = 0 } = numbers ?? {};
  return {
    scansTotal: BigInt(scans),
    scansUniqueDevices: BigInt(devices),
    conversationRate: ratio(conversations, scans, 2),
    avgMessagesPerConversation: ratio(messages, conversations, 1),
  };
}

function seriesOf({ buckets }: Period, { series }: Numbers): Reply["timeseries"] {
  return series.map(({ scans, conversations }, index) => ({
    date: buckets.labels[index],
    scans: BigInt(scans),
    conversations: BigInt(conversations),
  }));
}

async function explain(
  sources: Sources,
  { position, numbers, now }: { position: number; numbers: Numbers | undefined; now: number },
): Promise<MessageInitShape<typeof ExplanationSchema>> {
  const filtered = Object.entries(numbers?.filtered ?? {}).map(([reason, scans]) => [reason, BigInt(scans)] as const);
  return {
    completeTo: { position: BigInt(position), time: timestampFromMs((await firstOpen(sources, position)) ?? now) },
    rules: { verdict: VERDICT_RULES, counting: COUNTING_RULES },
    filtered: Object.fromEntries(filtered),
  };
}

/** When the first entry was appended that is not counted yet; undefined when all are. */
async function firstOpen(sources: Sources, position: number): Promise<number | undefined> {
  for await (const [entry] of tailOf(sources, position)) return entry?.appendedAt;
  return undefined;
}
