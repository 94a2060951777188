import { rmSync } from "node:fs";
import {
  BIGINT,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBValue,
  INTEGER,
  VARCHAR,
} from "@duckdb/node-api";
import { deviceKey } from "../../services/analytics/device-key.ts";
import { SCHEMA } from "../../services/analytics/feed/schema.ts";

/** A history to make: always the same for the same numbers. */
export interface History {
  /** The file of the analytics service, made anew. */
  path: string;
  workspace: string;
  events: number;
  links: number;
  devices: number;
  /** How many days it goes back from `end`. */
  days: number;
  /** Time of the last event, milliseconds since 1970. */
  end: number;
  seed: number;
}

/** Id of the link of a rank; the first has most events. */
export function linkOf(rank: number): string {
  return `qpr_bench${String(rank).padStart(5, "0")}`;
}

const CHUNK = 2_048;

/**
 * Makes a file of the analytics service as its feed would have left it: links and devices of very different weight (the
 * first of 1,000 links has a tenth of the events), one event in fifty late by up to two days, one in twelve by a program,
 * one device in a hundred identified, places and campaigns partly unknown. Every value follows from the number of its
 * event and the seed.
 */
export async function makeHistory(history: History): Promise<void> {
  for (const end of ["", ".wal"]) rmSync(history.path + end, { force: true });
  const instance = await DuckDBInstance.create(history.path, { memory_limit: "2GB", preserve_insertion_order: "true" });
  const connection = await instance.connect();
  for (const statement of SCHEMA) await connection.run(statement);
  await connection.run("CREATE TEMP TABLE named (n INTEGER, device_id VARCHAR, device_key BIGINT)");
  await nameDevices(connection, history.devices);
  const step = Math.ceil(history.events / 10);
  for (let first = 0; first < history.events; first += step)
    await connection.run(eventsSql(history, { first, last: Math.min(first + step, history.events) }));
  await connection.run(
    `INSERT INTO links SELECT '${history.workspace}', false, ${linkSql("n")}, 'Link ' || n, 'b' || n,
      'https://example.com/' || n, 'active', ['tag' || n % 20], ${history.end - 400 * 86_400_000}, 1
      FROM range(${history.links}) t(n)`,
  );
  await identify(connection, history);
  await connection.run("UPDATE watermark SET complete = true");
  await connection.run("CHECKPOINT");
  connection.closeSync();
  instance.closeSync();
}

async function nameDevices(connection: DuckDBConnection, devices: number): Promise<void> {
  const appender = await connection.createAppender("named");
  for (let first = 0; first < devices; first += CHUNK) {
    const columns: [DuckDBValue[], DuckDBValue[], DuckDBValue[]] = [[], [], []];
    for (let n = first; n < Math.min(first + CHUNK, devices); n += 1) {
      const id = `bench-device-${n.toString(36).padStart(9, "0")}`;
      columns[0].push(n);
      columns[1].push(id);
      columns[2].push(deviceKey(id));
    }
    const chunk = DuckDBDataChunk.create([INTEGER, VARCHAR, BIGINT], columns[0].length);
    chunk.setColumns(columns);
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
}

const linkSql = (n: string) => `'qpr_bench' || lpad(${n}::VARCHAR, 5, '0')`;

/** One of a few words, the first ones more often; the last is unknown. */
const oneOf = (words: readonly string[], u: string) =>
  `([${words.map((word) => `'${word}'`).join(", ")}, NULL])[1 + floor(${words.length + 1} * pow(${u}, 2))::INTEGER]`;

function eventsSql(history: History, { first, last }: { first: number; last: number }): string {
  const { workspace, events, links, devices, days, end, seed } = history;
  const u = (salt: number) => `(hash(i * 32 + ${salt} + ${seed * 1_000_003}) % 1000003 / 1000003.0)`;
  const at = `(${end} - ((${events} - 1 - i) * ${(days * 86_400_000) / events})::BIGINT
    - CASE WHEN ${u(1)} < 0.02 THEN (${u(2)} * 172800000)::BIGINT ELSE 0 END)`;
  const country = oneOf(["US", "DE", "FR", "GB", "IN", "BR", "JP", "CA", "AU", "NL", "ES", "IT", "SE", "PL"], u(5));
  return `INSERT INTO events BY NAME SELECT '${workspace}' AS workspace, 'scan_bench' || lpad(i::VARCHAR, 12, '0') AS id,
    0 AS position, ${linkSql(`floor(${links} * pow(${u(3)}, 3))::INTEGER`)} AS link_id, ${at} AS scanned_at,
    ${at} + 150 AS recorded_at, ${u(4)} >= 1.0 / 12 AS human, false AS test, d.device_id, d.device_key,
    'b' || floor(${links} * pow(${u(3)}, 3))::INTEGER AS short_id, ${country} AS country, country || '-1' AS region,
    country || ' city ' || floor(40 * ${u(6)})::INTEGER AS city, (1 + floor(3 * pow(${u(7)}, 3)))::UTINYINT AS device_type,
    ${oneOf(["Safari", "Chrome", "Firefox", "Samsung Internet for Android"], u(8))} AS browser,
    '17.' || floor(9 * ${u(9)})::INTEGER AS browser_version, ${oneOf(["iOS", "Android", "Windows", "macOS"], u(10))} AS platform,
    ${oneOf(["en-US", "de-DE", "fr-FR", "pt-BR"], u(11))} AS language, ${oneOf(["spring", "summer", "autumn"], u(12))} AS utm_campaign,
    ${oneOf(["poster", "flyer", "packaging"], u(13))} AS utm_source, 'https://example.com/' || i % 50 AS destination,
    'GET' AS method, CASE WHEN ${u(4)} < 1.0 / 12 THEN 'isbot' END AS reason, ${u(14)} < 0.05 AS talked,
    CASE WHEN ${u(14)} < 0.05 THEN 3 ELSE 0 END AS messages, 0 AS changed
    FROM range(${first}, ${last}) t(i) JOIN named d ON d.n = floor(${devices} * pow(${u(15)}, 1.5))::INTEGER ORDER BY i`;
}

/** One device in a hundred is known by name; one in a thousand is a second device of another visitor. */
async function identify(connection: DuckDBConnection, { workspace, end }: History): Promise<void> {
  const known = "named d JOIN named o ON o.n = CASE WHEN d.n % 1000 = 0 AND d.n > 0 THEN d.n - 100 ELSE d.n END";
  await connection.run(
    `INSERT INTO identities SELECT '${workspace}', false, d.device_key, d.device_id, o.device_key, 'vis_' || o.device_id
      FROM ${known} WHERE d.n % 100 = 0`,
  );
  await connection.run(
    `INSERT INTO visitors SELECT '${workspace}', false, device_key, 'vis_' || device_id, 'v' || n || '@example.com', NULL,
      'V', 'B', ${end}, ${end}, 1 FROM named WHERE n % 100 = 0 AND (n % 1000 <> 0 OR n = 0)`,
  );
}
