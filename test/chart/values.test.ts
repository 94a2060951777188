import { describe, expect, it } from "vitest";
import { isMissing } from "../support/servers.ts";
import { byName, containerOf, envOf, helm, refusal, render, SERVICES, valueFiles, workloads } from "./chart.ts";

const scans = (...set: string[]) => workloads(render({ set: [...SERVICES, ...set] })).scans;

describe.skipIf(isMissing("helm", helm))("services.<name>", () => {
  it("holds only what differs from the defaults", () => {
    const one = scans(
      "defaults.replicas=5",
      "defaults.resources.limits.cpu=2",
      "services.scans.resources.requests.cpu=1",
    );
    expect(one.spec.replicas).toBe(5);
    expect(containerOf(one).resources).toEqual({
      requests: { cpu: 1, memory: "256Mi" },
      limits: { cpu: 2, memory: "512Mi" },
    });
  });

  it("can say 0 where the default is a number", () => {
    expect(scans("services.scans.replicas=0").spec.replicas).toBe(0);
    const still = scans("services.scans.stop.sleepSeconds=0");
    expect(containerOf(still).lifecycle).toBeUndefined();
    expect(still.spec.template.spec.terminationGracePeriodSeconds).toBe(30);
  });

  it("can say false where the default is true", () => {
    const budgets = (...set: string[]) =>
      Object.keys(byName(render({ set: [...SERVICES, ...set] }), "PodDisruptionBudget"));
    expect(budgets()).toContain("waymark-scans");
    expect(budgets("services.scans.podDisruptionBudget=false")).not.toContain("waymark-scans");
    expect(scans("defaults.persistence.enabled=true", "services.scans.persistence.enabled=false").kind).toBe(
      "Deployment",
    );
  });

  it("can say nothing where the default is a text or a list", () => {
    const spread = (...set: string[]) => scans(...set).spec.template.spec.topologySpreadConstraints;
    expect(spread()).toHaveLength(1);
    expect(spread("services.scans.topologyKey=")).toBeUndefined();
    const bare = workloads(
      render({ set: [...SERVICES, "services.scans.uses=null", "services.scans.uses={nats}"] }),
    ).scans;
    expect(envOf(bare).WAYMARK_MONGODB_URL).toBeUndefined();
  });

  it("leaves the other services as they are", () => {
    const all = workloads(render({ set: [...SERVICES, "services.scans.replicas=7"] }));
    expect([all.scans.spec.replicas, all.codes.spec.replicas]).toEqual([7, 2]);
  });
});

describe.skipIf(helm === undefined)("more pods when they are busy", () => {
  const objects = helm === undefined ? [] : render({ file: "autoscaling-values.yaml" });

  it("are made by CPU, and the number is the autoscaler's alone", () => {
    const { spec } = byName(objects, "HorizontalPodAutoscaler")["waymark-gateway"];
    expect(spec).toMatchObject({ minReplicas: 3, maxReplicas: 9, scaleTargetRef: { name: "waymark-gateway" } });
    expect(workloads(objects).gateway.spec.replicas).toBeUndefined();
    expect(workloads(objects).codes.spec.replicas).toBe(2);
  });

  it("have a budget where there is more than one, and none where there is not", () => {
    const budgets = byName(objects, "PodDisruptionBudget");
    expect(budgets["waymark-gateway"].spec.maxUnavailable).toBe(1);
    expect(Object.keys(budgets)).not.toContain("waymark-emergency");
    expect(byName(render({ file: "all-in-one-values.yaml" }), "PodDisruptionBudget")).toEqual({});
    expect(Object.keys(byName(render({ file: "services-values.yaml" }), "PodDisruptionBudget")).sort()).toEqual(
      ["analytics", "codes", "gateway", "scans"].map((name) => `waymark-${name}`),
    );
  });
});

describe.skipIf(helm === undefined)("the way in", () => {
  it("is an Ingress with the hosts and certificates given", () => {
    const { spec } = byName(render({ file: "ingress-values.yaml" }), "Ingress").waymark;
    expect(spec.rules.map(({ host }: { host: string }) => host)).toEqual(["go.example.com", "api.example.com"]);
    expect(spec.rules[0].http.paths[0].backend.service).toEqual({ name: "waymark", port: { name: "http" } });
    expect(spec.tls[0].secretName).toBe("waymark-tls");
  });

  it("or an HTTPRoute to the port of the Service", () => {
    const objects = render({ file: "http-route-values.yaml" });
    const { spec } = byName(objects, "HTTPRoute").waymark;
    expect(spec.rules[0].backendRefs).toEqual([{ name: "waymark", port: 8000 }]);
    expect(byName(objects, "Service").waymark.spec.ports[0].port).toBe(8000);
  });

  it("has the same name in both shapes", () => {
    const names = [{ file: "all-in-one-values.yaml" }, { file: "services-values.yaml" }].map(
      (given) => byName(render(given), "Service").waymark.spec.selector["app.kubernetes.io/component"],
    );
    expect(names).toEqual(["all", "gateway"]);
  });
});

describe.skipIf(helm === undefined)("metrics", () => {
  it("are read from all Services of the release, at the port that each has", () => {
    const objects = render({ file: "monitoring-values.yaml" });
    const { spec, metadata } = byName(objects, "ServiceMonitor").waymark;
    expect(metadata.labels.release).toBe("prometheus");
    const ports: string[] = spec.endpoints.map(({ port }: { port: string }) => port);
    const own = Object.values(byName(objects, "Service")).map(({ spec: { ports: all } }) =>
      all.filter(({ name }: { name: string }) => ports.includes(name)),
    );
    expect(own.map((found) => found.length)).toEqual(own.map(() => 1));
  });
});

describe.skipIf(helm === undefined)("helm refuses", () => {
  it.each([
    ["no keys", [], "keys.existingSecret is missing: name a Secret with the keys"],
    [
      "the shape services without servers",
      ["shape=services"],
      "the shape services needs mongodb: give mongodb.url or mongodb.existingSecret.name, or mongodb.enabled for evaluation",
    ],
    [
      "two of a server",
      [...SERVICES, "nats.enabled=true"],
      "nats has more than one of url, existingSecret.name and enabled",
    ],
    [
      "servers for the all-in-one",
      ["nats.enabled=true"],
      "nats belongs to the shape services; the shape allInOne keeps everything in its volume",
    ],
    ["TLS between the pods of one pod", ["tls.existingSecret=t"], "the shape allInOne makes no calls between pods"],
    ["a second all-in-one", ["allInOne.replicas=2"], "the all-in-one is one process that holds its folder alone"],
    [
      "more of it by load",
      ["allInOne.autoscaling.enabled=true"],
      "the all-in-one is one process that holds its folder alone",
    ],
    ["a demo of services", [...SERVICES, "demo=true"], "demo is for the shape allInOne"],
    [
      "two ways in",
      ["ingress.enabled=true", "httpRoute.enabled=true"],
      "ingress and httpRoute are two ways to the same gateway; enable one",
    ],
    ["an Ingress for nobody", ["ingress.enabled=true"], "ingress.hosts is empty"],
    ["a route from nowhere", ["httpRoute.enabled=true"], "httpRoute.parentRefs is empty"],
    [
      "fewer at most than at least",
      [...SERVICES, "services.scans.autoscaling.enabled=true", "services.scans.autoscaling.maxReplicas=1"],
      "scans: autoscaling.minReplicas 2 is above maxReplicas 1",
    ],
    [
      "a percentage of nothing",
      [...SERVICES, "services.scans.autoscaling.enabled=true", "services.scans.resources.requests.cpu="],
      "scans: autoscaling counts CPU in percent of what is requested",
    ],
  ])("%s", (_what, set, sentence) => {
    const keys = set.includes("shape=services") || set.length > 0 ? ["keys.existingSecret=k"] : [];
    expect(refusal({ set: [...keys, ...set] })).toContain(sentence);
  });

  it("everything at once that does not fit", () => {
    const said = refusal({ set: ["shape=services", "ingress.enabled=true"] });
    expect(said.match(/^ {2}- /gm)).toHaveLength(4);
  });

  it.each([
    ["a service that does not exist", "services.scan.replicas=2", "'scan' not allowed"],
    ["a value that does not exist", "replicaCount=2", "'replicaCount' not allowed"],
    ["a number that is none", "defaults.replicas=many", "got string, want integer"],
    ["a caller that does not exist", "services.tags.callers={nobody}", "value must be one of"],
    ["an unknown shape", "shape=monolith", "value must be one of 'allInOne', 'services'"],
    ["a MongoDB without a database", "mongodb.url=mongodb://host:27017", "does not match pattern"],
  ])("%s", (_what, set, sentence) => {
    expect(refusal({ set: ["keys.existingSecret=k", set] })).toContain(sentence);
  });

  it("nothing of what is in ci/", () => {
    expect(valueFiles.filter((file) => refusal({ file }) !== "")).toEqual([]);
  });
});
