import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { BIGINT, BOOLEAN, type DuckDBType, type DuckDBValue, LIST, listValue, VARCHAR } from "@duckdb/node-api";
import { DirectoryService, type Target, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { ObjectChangedSchema, Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { LogEntry } from "#runtime/log.ts";
import type { Writer } from "../engine/duck.ts";
import type { Apply, ChangeDeps } from "./changes.ts";

/** So many codes are asked for at once. */
const CODES_AT_ONCE = 1_000;

const DEADLINE_MS = 10_000;

/** A code that was changed, and where on the log. */
interface Changed {
  workspace: string;
  codeId: string;
  position: number;
}

/** A code as it is now; one that nobody has any more has no target. */
interface Found extends Changed {
  target: Target | undefined;
}

const TYPES: readonly DuckDBType[] = [
  VARCHAR,
  BOOLEAN,
  VARCHAR,
  VARCHAR,
  VARCHAR,
  VARCHAR,
  VARCHAR,
  LIST(VARCHAR),
  BIGINT,
  BIGINT,
];

/** Codes that were made, changed or deleted: the table `links` gets them as they are now, whatever they were then. */
export async function linkChanges(entries: readonly LogEntry[], deps: ChangeDeps): Promise<Apply> {
  const changed = new Map<string, Changed>();
  for (const entry of entries) {
    const one = read(entry);
    if (one !== undefined) changed.set(`${one.workspace}/${one.codeId}`, one);
  }
  const found: Found[] = [];
  for (const [workspace, some] of Map.groupBy(changed.values(), (one) => one.workspace))
    found.push(...(await ask(workspace, some, deps)));
  return (writer) => write(writer, found);
}

/** The same for codes that are known by id, as they are now. */
export async function linksAsOf(
  { workspace, codeIds, position }: { workspace: string; codeIds: readonly string[]; position: number },
  deps: ChangeDeps,
): Promise<Apply> {
  const changed = codeIds.map((codeId) => ({ workspace, codeId, position }));
  const found = await ask(workspace, changed, deps);
  return (writer) => write(writer, found);
}

function read({ payload, position }: LogEntry): Changed | undefined {
  try {
    const { workspaceId: workspace, objectId: codeId } = fromBinary(ObjectChangedSchema, payload);
    return { workspace, codeId, position };
  } catch {
    return undefined;
  }
}

async function ask(workspace: string, changed: readonly Changed[], deps: ChangeDeps): Promise<Found[]> {
  const targets = new Map<string, Target>();
  const options = { ...as(internalContext(workspace)), signal: deps.signal, timeoutMs: DEADLINE_MS };
  for (let first = 0; first < changed.length; first += CODES_AT_ONCE) {
    const codeIds = changed.slice(first, first + CODES_AT_ONCE).map(({ codeId }) => codeId);
    const answer = await deps.client(DirectoryService).getTargets({ codeIds, includeDeleted: true }, options);
    for (const target of answer.targets) targets.set(target.codeId, target);
  }
  return changed.map((one) => ({ ...one, target: targets.get(one.codeId) }));
}

/** What a deleted code was stays in its row; being deleted is a change like any other, and stands where it was told. */
const DELETED = `UPDATE links SET status = 'deleted', changed = gone.position
  FROM (SELECT unnest($ids) AS id, unnest($positions) AS position) gone
  WHERE workspace = $workspace AND link_id = gone.id`;

async function write({ run, append }: Writer, found: readonly Found[]): Promise<void> {
  const gone = found.filter(({ target }) => target === undefined);
  const live = found.filter(({ target }) => target?.purpose === Purpose.MARKETING);
  for (const [workspace, some] of Map.groupBy(gone, (one) => one.workspace))
    await run(DELETED, {
      workspace,
      ids: some.map(({ codeId }) => codeId),
      positions: some.map(({ position }) => BigInt(position)),
    });
  for (const [workspace, some] of Map.groupBy(live, (one) => one.workspace))
    await run("DELETE FROM links WHERE workspace = $workspace AND list_contains($ids, link_id)", {
      workspace,
      ids: some.map(({ codeId }) => codeId),
    });
  if (live.length === 0) return;
  const slice = (begin: number, end: number) => columnsOf(live.slice(begin, end));
  await append("links", { types: TYPES, length: live.length, slice });
}

function columnsOf(found: readonly Found[]): DuckDBValue[][] {
  const rows = found.map(({ workspace, codeId, position, target }) => [
    workspace,
    target?.test ?? false,
    codeId,
    target?.name ?? null,
    target?.shortId ?? null,
    target?.destination ?? null,
    STATUSES.get(target?.status ?? TargetStatus.UNSPECIFIED) ?? null,
    listValue(target?.tags ?? []),
    target?.createdAt === undefined ? null : BigInt(timestampMs(target.createdAt)),
    BigInt(position),
  ]);
  return TYPES.map((_type, column) => rows.map((row) => row[column] ?? null));
}

const STATUSES = new Map<TargetStatus, string>([
  [TargetStatus.ACTIVE, "active"],
  [TargetStatus.PAUSED, "paused"],
  [TargetStatus.ARCHIVED, "archived"],
  [TargetStatus.DELETED, "deleted"],
]);
