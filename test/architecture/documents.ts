import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { settings } from "#runtime/config.ts";
import { type Facts, fail, type Reason } from "#runtime/failure.ts";
import { registry, spans } from "#runtime/telemetry.ts";
import { ROOT } from "./source.ts";

/** The documents that are made from tables of the code, by path from the root. */
export async function documents(): Promise<Readonly<Record<string, string>>> {
  return {
    "docs/configuration.md": configuration(),
    "docs/errors.md": await errors(),
    "docs/telemetry.md": await telemetry(),
  };
}

const NOTE = "<!-- Made from the code by `npm run docs`; a test holds them equal. -->";

function configuration(): string {
  const rows = Object.values(settings).map(({ env, fallback, says }) => {
    return `| \`${env}\` | ${fallback === undefined ? "–" : fallback === "" ? "empty" : `\`${fallback}\``} | ${says} |`;
  });
  return page("Configuration", "Environment variables, checked together at start: all faults are told at once.", [
    "| variable | default | what it does |",
    "|---|---|---|",
    ...rows,
  ]);
}

interface Table {
  domain: string;
  reasons: Readonly<Record<string, Reason>>;
}

/** Facts whose values stand for themselves: {field}, {keyId}. */
const placeholders: Facts = new Proxy({}, { get: (_target, name) => `{${String(name)}}` });

async function errors(): Promise<string> {
  const tables: Table[] = [fail, ...(await reasonTables())];
  const sections = tables.flatMap(({ domain, reasons }) => [
    `## ${domain}`,
    "",
    "| reason | code | sentence |",
    "|---|---|---|",
    ...Object.entries(reasons).map(
      ([name, { code, say, isUnanswerable = false }]) =>
        `| \`${name}\` | ${Code[code]}${isUnanswerable ? ", 422" : ""} | ${say(placeholders)} |`,
    ),
    "",
  ]);
  const intro =
    "Every refusal has a reason, a gRPC code and a sentence; words in braces are filled in. Which HTTP status a code becomes: " +
    "InvalidArgument, OutOfRange and FailedPrecondition 400, Unauthenticated 401, PermissionDenied 403, NotFound 404, " +
    "AlreadyExists and Aborted 409, ResourceExhausted 429, Internal and Unknown 500, Unimplemented 501, Unavailable 503, " +
    "DeadlineExceeded 504; where 422 stands beside the code, it is 422 instead.";
  return page("Errors", intro, sections);
}

async function reasonTables(): Promise<Table[]> {
  const files = readdirSync(join(ROOT, "services"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith("/reasons.ts"))
    .sort();
  return Promise.all(files.map(async (path) => ((await import(join(ROOT, "services", path))) as { fail: Table }).fail));
}

async function telemetry(): Promise<string> {
  const all = await registry.getMetricsAsJSON();
  const metrics = all.map(({ name, type, help }) => `| \`${name}\` | ${type} | ${help} |`).sort();
  const rows = Object.entries(spans).map(([name, { says, attributes }]) => {
    return `| \`${name}\` | ${says} | ${attributes.map((one) => `\`${one}\``).join(" ")} |`;
  });
  const intro =
    "Metrics are served as Prometheus text at `/metrics`, beside the process's own (`process_*`, `nodejs_*`). Spans are sent by OTLP " +
    "over HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set. One trace goes from the HTTP request over gRPC and the log to the " +
    "projections: the envelope of each batch of touches on the log has the `traceparent` of the request that wrote it.";
  return page("Telemetry", intro, [
    "## Metrics",
    "",
    "| metric | type | what it measures |",
    "|---|---|---|",
    ...metrics,
    "",
    "## Spans",
    "",
    "| span | what it covers | attributes |",
    "|---|---|---|",
    ...rows,
  ]);
}

function page(title: string, intro: string, lines: readonly string[]): string {
  return `# ${title}\n\n${NOTE}\n\n${intro}\n\n${lines.join("\n").trimEnd()}\n`;
}
