import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { ROOT } from "../architecture/source.ts";
import { serverProgram } from "../support/servers.ts";

/** Folder of the chart. */
export const CHART = join(ROOT, "charts/waymark");

/** helm, where there is one. */
export const helm = serverProgram("bin/helm");

/** Files with values, each named by what it turns on. */
export const valueFiles: readonly string[] = readdirSync(join(CHART, "ci")).filter((name) => name.endsWith(".yaml"));

/** A Kubernetes object, or a part of one. */
// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever was rendered
export type Rendered = any;

/** The least that the shape services needs. */
export const SERVICES: readonly string[] = [
  "shape=services",
  "keys.existingSecret=waymark-keys",
  "nats.url=nats://nats:4222",
  "mongodb.url=mongodb://mongodb:27017/waymark",
];

/** What was rendered already, by the words for it. */
const rendered = new Map<string, string>();

/** What `helm template` writes for a file in ci/, or for single values as `--set` takes them. Throws what helm says. */
export function renderText(given: { file?: string; set?: readonly string[] }): string {
  if (helm === undefined) throw new Error("there is no helm");
  const files = given.file === undefined ? [] : ["--values", join(CHART, "ci", given.file)];
  const sets = (given.set ?? []).flatMap((one) => ["--set", one]);
  const words = ["template", "waymark", CHART, "--namespace", "shop", ...files, ...sets];
  const known = rendered.get(words.join(" "));
  if (known !== undefined) return known;
  const text = execFileSync(helm, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 20_000 });
  rendered.set(words.join(" "), text);
  return text;
}

/** The objects that it makes. */
export function render(given: { file?: string; set?: readonly string[] }): Rendered[] {
  return parseAllDocuments(renderText(given))
    .map((document) => document.toJS())
    .filter((object) => object !== null);
}

/** What helm says when it refuses. */
export function refusal(given: { file?: string; set?: readonly string[] }): string {
  try {
    renderText(given);
  } catch (error) {
    return String((error as { stderr?: string }).stderr ?? error);
  }
  return "";
}

/** Objects of a kind by name. */
export function byName(objects: readonly Rendered[], kind: string): Record<string, Rendered> {
  const found = objects.filter((object) => object.kind === kind);
  return Object.fromEntries(found.map((object) => [object.metadata.name, object]));
}

/** Deployments and StatefulSets by component: "gateway". */
export function workloads(objects: readonly Rendered[]): Record<string, Rendered> {
  const found = objects.filter(({ kind }) => kind === "Deployment" || kind === "StatefulSet");
  return Object.fromEntries(found.map((one) => [one.metadata.labels["app.kubernetes.io/component"], one]));
}

/** The first container of a workload. */
export function containerOf(workload: Rendered): Rendered {
  return workload.spec.template.spec.containers[0];
}

/** Environment of a container: the value, or where it comes from. */
export function envOf(workload: Rendered): Record<string, Rendered> {
  const env: Rendered[] = containerOf(workload).env ?? [];
  return Object.fromEntries(env.map(({ name, value, valueFrom }) => [name, value ?? valueFrom]));
}

/** A file of the repository. */
export function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}
