import { resolve } from "node:path";
import type { Config } from "#runtime/config.ts";
import type { Demo } from "./demo/seed.ts";

/** What the terminal shows when Waymark is ready. */
export function greeting(given: {
  config: Config;
  url: string;
  demo: Demo | undefined;
  /** Where internal callers reach the services; undefined when closed. */
  grpcPort: number | undefined;
  tookMs: number;
}): string[] {
  const { config, url, demo } = given;
  return [
    "",
    `  Waymark is ready at ${url}  (${(given.tookMs / 1000).toFixed(1)} s)`,
    "",
    `  documentation   ${url}/docs   (${url}/openapi.json)`,
    `  data            ${resolve(config.data)}`,
    `  in this process gateway, all services, log and store; stop with Ctrl-C`,
    ...(given.grpcPort === undefined ? [] : [`  gRPC            localhost:${given.grpcPort}`]),
    ...(demo === undefined ? [] : demoLines(url, demo)),
    "",
  ];
}

function demoLines(url: string, { key, encryptedId }: Demo): string[] {
  return [
    `  demo key        ${key}`,
    "",
    "  Try it; each line works as it is:",
    "",
    `  curl "${url}/v1/scans?qpr_code_id=qpr_01HXYZ789ABC&limit=2" -H "Authorization: Bearer ${key}"`,
    `  curl "${url}/api/v1/impressions?programId=prog_123abc&limit=2" -H "Authorization: Bearer ${key}"`,
    `  curl "${url}/api/v1/scan/${encryptedId}"`,
    `  curl "${url}/analytics/v1/metrics/events" -H "Authorization: Bearer ${key}"`,
    `  curl "${url}/v3/touchpoint/metrics?metricsType=EXPERIENCE&experienceId=experience-demo" -H "x-distinct-api-key: ${key}"`,
  ];
}
