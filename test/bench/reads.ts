import { KEY, type Measured } from "./process.ts";
import { type Finding, latencies } from "./report.ts";
import { openWire, prepare } from "./wire.ts";

/** The same question again and again on one connection. */
async function ask(measured: Measured, given: { path: string; times: number }): Promise<number[]> {
  const wire = await openWire(measured.port);
  const request = prepare({ method: "GET", path: given.path, headers: { authorization: `Bearer ${KEY}` } });
  const took: number[] = [];
  for (let time = 0; time < given.times; time += 1) {
    const begun = performance.now();
    const { status, body } = await wire.send(request);
    took.push(performance.now() - begun);
    if (status !== 200) throw new Error(`${given.path}: status ${status}: ${body.toString("utf8", 0, 300)}`);
  }
  wire.close();
  return took;
}

/** Reading with many scans of one code. */
export async function reads(
  measured: Measured,
  given: { code: string; scans: number; times: number },
): Promise<Finding[]> {
  const paths = {
    "Code analytics of 30 days": `/v1/qpr-codes/${given.code}/analytics?period=30d`,
    "Code analytics of 90 days by hour": `/v1/qpr-codes/${given.code}/analytics?period=90d&granularity=hour`,
    "Page of scans with total": `/v1/scans?qpr_code_id=${given.code}&limit=50`,
    "Page of scans, since and until within hours": `/v1/scans?qpr_code_id=${given.code}&limit=50&since=${since(20)}&until=${since(1)}`,
    "Analytics events": `/analytics/v1/events?linkId=${given.code}`,
    "Analytics metrics": `/analytics/v1/metrics/events?linkId=${given.code}`,
  };
  const findings: Finding[] = [];
  for (const [name, path] of Object.entries(paths)) {
    const took = await ask(measured, { path, times: given.times });
    const parameters = { "scans of the code": given.scans, questions: given.times };
    findings.push({ name, parameters, figures: latencies(took) });
  }
  return findings;
}

/** A time so many days and some minutes ago. */
function since(days: number): string {
  return new Date(Date.now() - days * 86_400_000 - 1_234_567).toISOString();
}
