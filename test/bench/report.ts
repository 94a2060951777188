import { cpus, totalmem } from "node:os";

/** What a benchmark found. */
export interface Finding {
  name: string;
  parameters: Record<string, string | number>;
  figures: Record<string, string | number>;
  /** Why the run counts for nothing; undefined when its ledger balances. */
  isVoid?: string | undefined;
}

/** The machine and the programs, as one line. */
export function machine(): string {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, Linux ${process.arch}`;
}

/** A finding as Markdown. */
export function toMarkdown({ name, parameters, figures, isVoid }: Finding): string {
  const list = (values: Record<string, string | number>) =>
    Object.entries(values)
      .map(([key, value]) => `${key} ${value}`)
      .join(", ");
  const title = isVoid === undefined ? `### ${name}` : `### ${name}: VOID, ${isVoid}`;
  const rows = Object.entries(figures).map(([key, value]) => `| ${key} | ${value} |`);
  return [title, "", list(parameters), "", "| figure | value |", "|---|---|", ...rows, ""].join("\n");
}

/** The value below which a share of the values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** p50, p95, p99 and the worst of durations in milliseconds. */
export function latencies(values: readonly number[]): Record<string, string> {
  const text = (share: number) => `${percentile(values, share).toFixed(2)} ms`;
  return { p50: text(0.5), p95: text(0.95), p99: text(0.99), worst: `${Math.max(...values).toFixed(2)} ms` };
}
