import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Asking } from "../asking.ts";
import { deviceKey } from "../device-key.ts";
import { type Duck, openDuck } from "../engine/duck.ts";
import type { Params } from "../engine/query.ts";
import { FINGERPRINT, SCHEMA } from "../feed/schema.ts";

/** An event in plain values; what is left out is unknown. */
export interface PlainEvent {
  id: string;
  linkId: string;
  device?: string | undefined;
  /** Milliseconds since 1970. */
  at: number;
  human?: boolean;
  test?: boolean;
  position?: number;
  deviceType?: number;
  browser?: string;
  platform?: string;
  talked?: boolean;
  messages?: number;
}

/** The tables of the service, filled by hand. */
export interface Table {
  duck: Duck;
  put: (events: readonly PlainEvent[]) => Promise<void>;
  run: (sql: string, params?: Params) => Promise<void>;
  /** A question about the workspace "acme". */
  asking: (more?: { sql: string; params: Params }) => Asking;
  close: () => Promise<void>;
}

/** Opens empty tables in a folder of their own. */
export async function openTable(): Promise<Table> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-table-"));
  const path = join(folder, "t.duckdb");
  const duck = await openDuck({ path, memoryMb: 256, schema: SCHEMA, fingerprint: FINGERPRINT });
  const sql = "workspace = $workspace AND human AND test = $test";
  const params = { workspace: "acme", test: false };
  return {
    duck,
    put: (events) => put(duck, events),
    run: (statement, values) => duck.write(({ run }) => run(statement, values)),
    asking: (more) => ({
      duck,
      signal: new AbortController().signal,
      scope: {
        sql: more === undefined ? sql : `${sql} AND ${more.sql}`,
        params: { ...params, ...more?.params },
        asked: [],
      },
    }),
    close: async () => {
      await duck.close();
      rmSync(folder, { recursive: true });
    },
  };
}

const INSERT = `INSERT INTO events (workspace, id, position, link_id, scanned_at, human, test, device_id, device_key,
  device_type, browser, platform, talked, messages)
  SELECT 'acme', unnest($ids), unnest($positions), unnest($links), unnest($times), unnest($humans) = 'y',
    unnest($tests) = 'y', nullif(unnest($devices), ''), nullif(unnest($keys), 0), unnest($types)::UTINYINT,
    nullif(unnest($browsers), ''), nullif(unnest($platforms), ''), unnest($talks) = 'y', unnest($messages)::INTEGER`;

async function put(duck: Duck, events: readonly PlainEvent[]): Promise<void> {
  if (events.length === 0) return;
  const yes = (of: (event: PlainEvent) => boolean) => events.map((event) => (of(event) ? "y" : "n"));
  const params = {
    ids: events.map(({ id }) => id),
    positions: events.map(({ position }, index) => BigInt(position ?? index + 1)),
    links: events.map(({ linkId }) => linkId),
    times: events.map(({ at }) => BigInt(at)),
    humans: yes(({ human = true }) => human),
    tests: yes(({ test = false }) => test),
    devices: events.map(({ device = "" }) => device),
    keys: events.map(({ device }) => (device === undefined ? 0n : deviceKey(device))),
    types: events.map(({ deviceType = 0 }) => BigInt(deviceType)),
    browsers: events.map(({ browser = "" }) => browser),
    platforms: events.map(({ platform = "" }) => platform),
    talks: yes(({ talked = false }) => talked),
    messages: events.map(({ messages = 0 }) => BigInt(messages)),
  };
  await duck.write(({ run }) => run(INSERT, params));
}
