import { Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { type Judgement, RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Session } from "../engine/duck.ts";
import type { Params } from "../engine/query.ts";
import { JUDGED_TABLE, keptTable, type Range } from "./sql.ts";

/** So many kinds are judged at once: reading a user agent takes its time, and others wait. */
const KINDS_AT_ONCE = 200;

const DEADLINE_MS = 10_000;

/** Where kinds of touches are judged, and for whom. */
export interface Judging {
  client: ServiceDeps["client"];
  workspace: string;
  signal: AbortSignal;
  /** Told how much is done, from 0 to 1. */
  onProgress: (part: number) => Promise<void>;
}

const COLUMNS = ["n", "human", "reason", "actor", "has_device", "device_type", "browser", "browser_version"];
const DEVICE = ["platform", "platform_version", "brand"];

const INSERT = `INSERT INTO judged SELECT n, CASE WHEN human = 0 THEN NULL ELSE human = ${Verdict.HUMAN} END, reason, actor,
    has_device = 1, device_type, browser, browser_version, platform, platform_version, brand
  FROM (SELECT ${[...COLUMNS, ...DEVICE].map((name) => `unnest($${name}) AS ${name}`).join(", ")})`;

/** Has the rules of `scans` judge each kind of touch in a range again; answers with the version of these rules. */
export async function judgeKinds(session: Session, range: Range, judging: Judging): Promise<string> {
  const { client, workspace, signal, onProgress } = judging;
  await session.run(keptTable(range), range.params);
  await session.run(JUDGED_TABLE);
  const [{ kinds = 0n } = {}] = await session.rows("SELECT count(*) AS kinds FROM kept");
  const options = { ...as(internalContext(workspace)), signal, timeoutMs: DEADLINE_MS };
  let rules = "";
  for (let first = 1; first <= Math.max(1, Number(kinds)); first += KINDS_AT_ONCE) {
    const some = await session.rows("SELECT * FROM kept WHERE n BETWEEN $first AND $last ORDER BY n", {
      first: BigInt(first),
      last: BigInt(first + KINDS_AT_ONCE - 1),
    });
    const touches = some.map((row) => ({
      userAgent: String(row.user_agent),
      method: String(row.method),
      reason: String(row.reason),
    }));
    const answer = await client(RegistryService).judgeTouches({ touches }, options);
    rules = answer.rules;
    if (touches.length > 0) await session.run(INSERT, paramsOf(answer.judgements, first));
    await onProgress(Math.min(1, (first + KINDS_AT_ONCE) / Math.max(1, Number(kinds))));
  }
  return rules;
}

function paramsOf(judgements: readonly Judgement[], first: number): Params {
  const text = (of: (one: Judgement) => string | undefined): string[] => judgements.map((one) => of(one) ?? "");
  return {
    n: judgements.map((_one, index) => BigInt(first + index)),
    human: judgements.map(({ verdict }) => BigInt(verdict)),
    reason: text(({ reason }) => reason),
    actor: text(({ actor }) => actor),
    has_device: judgements.map(({ device }) => (device === undefined ? 0n : 1n)),
    device_type: judgements.map(({ device }) => BigInt(device?.type ?? 0)),
    browser: text(({ device }) => device?.browser),
    browser_version: text(({ device }) => device?.browserVersion),
    platform: text(({ device }) => device?.platform),
    platform_version: text(({ device }) => device?.platformVersion),
    brand: text(({ device }) => device?.brand),
  };
}
