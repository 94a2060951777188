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
import { isTimezone } from "#runtime/routing.ts";
import { VERDICT_RULES } from "#runtime/touches.ts";
import { type Numbers, type Question, ratio, topCountries } from "./analytics.ts";
import { type Analytics, readAnalytics } from "./analytics-reader.ts";
import type { Granularity } from "./calendar.ts";
import { scansProjection } from "./project.ts";
import { fail } from "./reasons.ts";
import { sightOf } from "./sight.ts";
import { type Sources, tailOf } from "./tail.ts";
import { COUNTING_RULES } from "./tally.ts";
import type { Targets } from "./targets.ts";
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
  const { qprCodeId } = request;
  const { workspace, wall, floorDays } = sightOf(handler);
  const question = questionOf(request, { now: contextOf(handler).now(), floorDays });
  const codes = await parts.targets.find({ codeIds: new Set([qprCodeId]), shortIds: new Set() }, handler);
  if (!codes.byId.has(qprCodeId)) throw fail("CODE_NOT_FOUND", { codeId: qprCodeId });
  await parts.written.settled(handler);
  const position = await parts.store.watermark(scansProjection.name);
  const found = await readAnalytics(parts.store, { workspace, wall, codeId: qprCodeId }, question);
  return {
    qprCodeId,
    period: request.period ?? DEFAULT_PERIOD,
    ...figuresOf(found),
    explain: request.explain
      ? await explain(parts, { position, numbers: found?.numbers, now: question.now })
      : undefined,
  };
}

const DEFAULT_PERIOD = "30d";

function questionOf(request: GetCodeAnalyticsRequest, known: Pick<Question, "now" | "floorDays">): Question {
  const { period = DEFAULT_PERIOD, granularity = "day", timezone: zone = "UTC" } = request;
  if (!isTimezone(zone))
    throw refuse("INVALID_FIELD", { field: "timezone", must: "must be an IANA time zone, as Europe/Paris" });
  const days = period === "all" ? undefined : Number.parseInt(period, 10);
  return { days, granularity: granularity as Granularity, zone, ...known };
}

function figuresOf(found: Analytics | undefined) {
  const { scans = 0, devices = 0, conversations = 0, messages = 0, series = [] } = found?.numbers ?? {};
  const countries = found === undefined ? [] : topCountries(found.countries);
  return {
    scansTotal: BigInt(scans),
    scansUniqueDevices: BigInt(devices),
    conversationRate: ratio(conversations, scans, 2),
    avgMessagesPerConversation: ratio(messages, conversations, 1),
    topCountries: countries.map(({ country, scans }) => ({ country, scans: BigInt(scans) })),
    timeseries: series.map((bucket, index) => ({
      date: found?.period.buckets.labels[index],
      scans: BigInt(bucket.scans),
      conversations: BigInt(bucket.conversations),
    })),
  };
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
