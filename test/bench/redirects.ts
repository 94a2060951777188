import { settled, total, verdict } from "./ledger.ts";
import { KEY, type Measured } from "./process.ts";
import { type Finding, latencies } from "./report.ts";
import { openWire, prepare, type Wire } from "./wire.ts";

const AGENT =
  "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36";

/** Redirects at a fixed rate, whatever the answers do: a slow answer does not slow the questions. */
export async function redirects(
  measured: Measured,
  given: { perSecond: number; seconds: number; code: string },
): Promise<Finding> {
  const { body } = await measured.call("GET", `/v1/qpr-codes/${given.code}`, { key: KEY });
  const request = prepare({ method: "GET", path: `/s/${body.short_id}`, headers: { "user-agent": AGENT } });
  const count = given.perSecond * given.seconds;
  const before = await total(measured);
  const { took, statuses } = await atRate(measured.port, { request, count, perSecond: given.perSecond });
  await settled(measured);
  const after = await total(measured);
  const wrong = statuses.filter((status) => status !== 302).length;
  return {
    name: `Redirects at ${given.perSecond}/s`,
    parameters: { seconds: given.seconds, "from send to answer": "due time to last byte" },
    figures: { answered: took.length, "not 302": wrong, ...latencies(took) },
    isVoid: wrong > 0 ? `${wrong} were not redirected` : verdict(before, after, { accepted: count, counted: count }),
  };
}

async function atRate(port: number, load: { request: Buffer; count: number; perSecond: number }) {
  const free: Wire[] = await Promise.all(Array.from({ length: 64 }, () => openWire(port)));
  const all = [...free];
  const took: number[] = [];
  const statuses: number[] = [];
  const due: number[] = [];
  const begun = performance.now();
  const serve = async (wire: Wire, at: number): Promise<void> => {
    const { status } = await wire.send(load.request);
    took.push(performance.now() - at);
    statuses.push(status);
    const waiting = due.shift();
    if (waiting === undefined) free.push(wire);
    else await serve(wire, waiting);
  };
  let sent = 0;
  const running: Promise<void>[] = [];
  while (sent < load.count) {
    const should = Math.min(load.count, Math.floor(((performance.now() - begun) / 1000) * load.perSecond));
    for (; sent < should; sent += 1) {
      const at = begun + (sent / load.perSecond) * 1000;
      const wire = free.pop();
      if (wire === undefined) due.push(at);
      else running.push(serve(wire, at));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(running);
  for (const wire of all) wire.close();
  return { took, statuses };
}
