import type { Collection } from "#runtime/store.ts";
import type { Session } from "../engine/duck.ts";
import type { Row } from "../engine/query.ts";
import { AS_IT_WAS, type Decided, type Decision, type PartDoc } from "./model.ts";

/** Touches of one document. */
const PART_TOUCHES = 1_000;

/** Documents that are removed at once. */
const SOME = 100;

/** Id of a document of decisions. */
export function partIdOf(revisionId: string, index: number): string {
  return `${revisionId}/${index}`;
}

const PAGE = `SELECT c.n, c.id, c.link_id, c.comes <> c.goes AS is_judged, c.goes, c.actor,
    coalesce(c.is_built_in AND j.has_device, false) AS has_device,
    c.device_change > 0 AS is_moved, c.device_before, c.device_after,
    j.device_type, j.browser, j.browser_version, j.platform, j.platform_version, j.brand
  FROM changed c LEFT JOIN judged j ON j.n = c.kind WHERE c.n BETWEEN $first AND $last ORDER BY c.n`;

/** Keeps the decisions of the table `changed`, so that they can be applied later; answers with the number of documents. */
export async function keepParts(
  session: Session,
  { parts, revisionId, changed }: { parts: Collection<PartDoc>; revisionId: string; changed: number },
  onProgress: (part: number) => Promise<void>,
): Promise<number> {
  const count = Math.ceil(changed / PART_TOUCHES);
  for (let index = 0; index < count; index += 1) {
    const first = BigInt(index * PART_TOUCHES + 1);
    const rows = await session.rows(PAGE, { first, last: first + BigInt(PART_TOUCHES - 1) });
    await parts.insert({ id: partIdOf(revisionId, index), revisionId, ...partOf(rows) });
    await onProgress((index + 1) / count);
  }
  return count;
}

function partOf(rows: readonly Row[]): Omit<PartDoc, "id" | "revisionId"> {
  const decisions = new Numbered<Decision>();
  const devices = new Numbered<string>();
  const codes = new Map<string, Decided[]>();
  for (const row of rows) {
    const codeId = String(row.link_id);
    const touches = codes.get(codeId) ?? [];
    codes.set(codeId, touches);
    const decision = row.is_judged === true ? decisions.numberOf(decisionOf(row)) : AS_IT_WAS;
    const [after, before] = [row.device_after, row.device_before].map((device) => String(device ?? ""));
    const moved = row.is_moved === true ? ([after, before] as string[]).map((device) => devices.numberOf(device)) : [];
    touches.push([String(row.id), decision, ...moved] as unknown as Decided);
  }
  return {
    codes: { list: [...codes].map(([codeId, touches]) => ({ codeId, touches })) },
    ...{ decisions: { list: decisions.list }, devices: { list: devices.list } },
    touches: rows.length,
  };
}

/** Each value once, with its number from 0. */
class Numbered<T> {
  readonly list: T[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf(value: T): number {
    const print = JSON.stringify(value);
    const known = this.#numbers.get(print) ?? this.list.push(value) - 1;
    this.#numbers.set(print, known);
    return known;
  }
}

function decisionOf(row: Row): Decision {
  const decision: Decision = { human: row.goes === "", reason: String(row.goes), actor: String(row.actor) };
  if (row.has_device !== true) return decision;
  const text = (name: string) => String(row[name] ?? "");
  const device = {
    type: Number(row.device_type),
    ...{ browser: text("browser"), browserVersion: text("browser_version"), brand: text("brand") },
    ...{ platform: text("platform"), platformVersion: text("platform_version") },
  };
  return { ...decision, device };
}

/** Removes the decisions of a revision. */
export async function removeParts(parts: Collection<PartDoc>, revisionId: string): Promise<void> {
  for (;;) {
    const some = await parts.find({ where: { revisionId }, limit: SOME });
    if (some.length === 0) return;
    await parts.bulk(some.map(({ id }) => ({ kind: "delete", id })));
  }
}
