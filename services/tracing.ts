import type { Config } from "#runtime/config.ts";
import type { Closing } from "./closing.ts";

/** Sends spans where OTEL_EXPORTER_OTLP_ENDPOINT says; without it the SDK is not even loaded. */
export async function traceTo(
  { otlpEndpoint }: Pick<Config, "otlpEndpoint">,
  { name, closing }: { name: string; closing: Closing },
): Promise<void> {
  if (otlpEndpoint === undefined) return;
  const { startTracing } = await import("#runtime/tracing.ts");
  closing.add("telemetry", startTracing(otlpEndpoint, name).stop);
}
