import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { isMissing, serverProgram } from "../support/servers.ts";
import { CHART, helm, type Rendered, render, renderText, valueFiles } from "./chart.ts";

const kubeconform = serverProgram("bin/kubeconform");
const schemas = serverProgram("kubernetes/up")?.replace(/up$/, "schemas");

/** They are no kinds of Kubernetes itself: the Prometheus Operator and the Gateway API bring them. */
const FOREIGN = ["ServiceMonitor", "HTTPRoute"];

describe.skipIf(isMissing("helm", helm))("every file in ci/", () => {
  it.each(valueFiles)("%s renders, and no object is there twice", (file) => {
    const objects = render({ file });
    const names = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(names.length).toBeGreaterThan(3);
    expect([...new Set(names)]).toEqual(names);
  });

  it.each(valueFiles)("%s gives every object the recommended labels", (file) => {
    const own = render({ file }).filter(({ metadata }) => metadata.annotations?.["helm.sh/hook"] === undefined);
    const labels = ["name", "instance", "component", "version", "part-of", "managed-by"];
    const wanted = labels.map((label) => `app.kubernetes.io/${label}`);
    const lacking = own.filter(({ metadata }) => wanted.some((label) => metadata.labels?.[label] === undefined));
    expect(lacking.map(({ kind, metadata }: Rendered) => `${kind}/${metadata.name}`)).toEqual([]);
  });

  it("passes helm's own lint", () => {
    const result = spawnSync(helm ?? "", ["lint", "--strict", CHART, "--set", "keys.existingSecret=k"], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(result.stdout).toContain("0 chart(s) failed");
  });
});

const lacksSchemas = isMissing("kubeconform", kubeconform) || isMissing("kubernetes/schemas", schemas);

describe.skipIf(lacksSchemas || helm === undefined)("the schemas of Kubernetes", () => {
  it.each(valueFiles)("hold for %s, strictly", (file) => {
    const location = `${schemas}/{{ .ResourceKind }}{{ .KindSuffix }}.json`;
    const words = [
      "-strict",
      "-summary",
      "-output",
      "json",
      "-skip",
      FOREIGN.join(","),
      "-schema-location",
      location,
      "-",
    ];
    const input = renderText({ file });
    const { stdout } = spawnSync(kubeconform ?? "", words, { input, encoding: "utf8", timeout: 20_000 });
    const { resources, summary } = JSON.parse(stdout);
    expect(resources ?? []).toEqual([]);
    expect(summary).toMatchObject({ invalid: 0, errors: 0 });
    expect(summary.valid).toBeGreaterThan(3);
  });
});
