import { settled, total, verdict } from "./ledger.ts";
import { KEY, type Measured } from "./process.ts";
import { type Finding, latencies } from "./report.ts";
import { openWire, prepare, type Wire } from "./wire.ts";

const HEADERS = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
const AGENT =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

/** Makes codes to scan. */
export async function makeCodes({ call }: Measured, count: number): Promise<string[]> {
  const made = Array.from({ length: count }, (_, index) =>
    call("POST", "/v1/qpr-codes", {
      key: KEY,
      body: { name: `bench ${index}`, prompt: "bench", destination: "https://example.com/" },
    }),
  );
  return (await Promise.all(made)).map(({ body }) => body.id as string);
}

/** Sends prepared requests over connections, each taking the next; answers how long each took, in milliseconds. */
export async function run(
  wires: readonly Wire[],
  requests: readonly Buffer[],
): Promise<{ took: number[]; bodies: Buffer[] }> {
  const took: number[] = [];
  const bodies: Buffer[] = [];
  let next = 0;
  const work = async (wire: Wire): Promise<void> => {
    while (next < requests.length) {
      const request = requests[next++] as Buffer;
      const begun = performance.now();
      const { status, body } = await wire.send(request);
      took.push(performance.now() - begun);
      if (status !== 200) throw new Error(`status ${status}: ${body.toString("utf8", 0, 300)}`);
      bodies.push(body);
    }
  };
  await Promise.all(wires.map(work));
  return { took, bodies };
}

interface Load {
  codes: readonly string[];
  devices: number;
  /** Scans lie so far back at the most, in milliseconds. */
  spreadMs: number;
}

/** The next scan as JSON text. Address and user agent are given, as a redirect service would send them. */
export function scanText(number: number, load: Load): string {
  const at = new Date(Date.now() - ((number * 7_919) % load.spreadMs)).toISOString();
  const device = (number * 104_729) % load.devices;
  const code = load.codes[number % load.codes.length];
  return `{"id":"b${number.toString(36)}","qpr_code_id":"${code}","scanned_at":"${at}","ip":"81.2.${device % 256}.${(device >> 8) % 256}","user_agent":"${AGENT}","device_id":"d${device}"}`;
}

/** `POST /v1/scans` in batches. */
export async function batches(
  measured: Measured,
  given: { name: string; scans: number; size: number; connections: number; first: number } & Load,
): Promise<Finding> {
  const { scans, size, connections, first } = given;
  const requests = Array.from({ length: scans / size }, (_, batch) => {
    const items = Array.from({ length: size }, (_, index) => scanText(first + batch * size + index, given));
    return prepare({ method: "POST", path: "/v1/scans", headers: HEADERS, body: `{"scans":[${items.join(",")}]}` });
  });
  const wires = await Promise.all(Array.from({ length: connections }, () => openWire(measured.port)));
  const before = await total(measured);
  const cpu = measured.cpuSeconds();
  const begun = performance.now();
  const { took, bodies } = await run(wires, requests);
  const seconds = (performance.now() - begun) / 1000;
  const behindMs = await settled(measured);
  const accepted = bodies.reduce((sum, body) => sum + (JSON.parse(body.toString()).accepted as number), 0);
  for (const wire of wires) wire.close();
  return {
    name: `Intake in batches of ${size}, ${given.name}`,
    parameters: { scans, connections, codes: given.codes.length, devices: given.devices },
    figures: {
      "acknowledged per second": Math.round(accepted / seconds),
      "projections done after the end": `${behindMs.toFixed(0)} ms`,
      "processor time per scan, all threads": `${(((measured.cpuSeconds() - cpu) / scans) * 1e6).toFixed(1)} µs`,
      "resident memory after": `${measured.rssMb().toFixed(0)} MB`,
      ...latencies(took),
    },
    isVoid: verdict(before, await total(measured), { accepted: scans, counted: scans }),
  };
}

/** `POST /v1/scans` with one scan each. */
export async function singles(
  measured: Measured,
  given: { scans: number; connections: number; first: number } & Load,
): Promise<Finding> {
  const requests = Array.from({ length: given.scans }, (_, index) => {
    const body = `{"scans":[${scanText(given.first + index, given)}]}`;
    return prepare({ method: "POST", path: "/v1/scans", headers: HEADERS, body });
  });
  const wires = await Promise.all(Array.from({ length: given.connections }, () => openWire(measured.port)));
  const before = await total(measured);
  const begun = performance.now();
  const { took } = await run(wires, requests);
  const seconds = (performance.now() - begun) / 1000;
  const behindMs = await settled(measured);
  for (const wire of wires) wire.close();
  return {
    name: "Intake of single scans",
    parameters: { scans: given.scans, connections: given.connections },
    figures: {
      "acknowledged per second": Math.round(given.scans / seconds),
      "projections done after the end": `${behindMs.toFixed(0)} ms`,
      ...latencies(took),
    },
    isVoid: verdict(before, await total(measured), { accepted: given.scans, counted: given.scans }),
  };
}
