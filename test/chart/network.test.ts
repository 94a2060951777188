import { describe, expect, it } from "vitest";
import { registry } from "../../services/registry.ts";
import { isMissing } from "../support/servers.ts";
import { byName, helm, type Rendered, render, valueFiles } from "./chart.ts";

const NAMES = registry.map(({ name }) => name);

/** Who calls whom, as the code says: "codes → access". The gateway calls all. */
const calls = [
  ...NAMES.map((name) => `gateway → ${name}`),
  ...registry.flatMap(({ name, calls: called }) => called.map((other) => `${name} → ${other}`)),
].sort();

/** Components that a list of peers selects; "*" for everybody. */
function components(peers: Rendered[] | undefined): string[] {
  if (peers === undefined) return ["*"];
  return peers.map(({ podSelector }) => podSelector?.matchLabels["app.kubernetes.io/component"]);
}

/** Whom the policies of a direction name at a port: by the component that they stand for. */
function named(policies: Record<string, Rendered>, given: { direction: "ingress" | "egress"; port: number }) {
  const { direction, port } = given;
  return Object.entries(policies).flatMap(([name, { spec }]) => {
    const rules: Rendered[] = (spec[direction] ?? []).filter((rule: Rendered) =>
      rule.ports.some((one: Rendered) => one.port === port),
    );
    const own = name.replace(/^waymark-?/, "");
    return rules.flatMap((rule) =>
      components(rule[direction === "ingress" ? "from" : "to"]).map((other) => [own, other]),
    );
  });
}

describe.skipIf(isMissing("helm", helm))("the network", () => {
  const policies = byName(helm === undefined ? [] : render({ file: "evaluation-values.yaml" }), "NetworkPolicy");

  it("lets in exactly the callers that the code has", () => {
    const into = named(policies, { direction: "ingress", port: 9090 });
    expect(into.map(([own, other]) => `${other} → ${own}`).sort()).toEqual(calls);
  });

  it("lets out exactly the calls that the code makes", () => {
    const out = named(policies, { direction: "egress", port: 9090 });
    expect(out.map(([own, other]) => `${own} → ${other}`).sort()).toEqual(calls);
  });

  it("lets to MongoDB only those who keep documents, and to NATS everybody", () => {
    const users = (port: number, server: string) =>
      named(policies, { direction: "egress", port }).flatMap(([own, other]) => (other === server ? [own] : []));
    const keeping = registry.filter(({ collections, projections }) => collections.length > 0 || projections?.length);
    expect(users(27017, "mongodb").sort()).toEqual(keeping.map(({ name }) => name).sort());
    expect(users(4222, "nats").sort()).toEqual(["gateway", ...NAMES].sort());
    const into = named({ "waymark-mongodb": policies["waymark-mongodb"] }, { direction: "ingress", port: 27017 });
    expect(into.map(([, other]) => other).sort()).toEqual(users(27017, "mongodb").sort());
  });

  it("is closed for all pods of the release but for names, in both directions", () => {
    const { spec } = policies.waymark;
    expect(spec.podSelector.matchLabels).toEqual({
      "app.kubernetes.io/name": "waymark",
      "app.kubernetes.io/instance": "waymark",
    });
    expect(spec.policyTypes).toEqual(["Ingress", "Egress"]);
    expect(spec.ingress).toBeUndefined();
    expect(spec.egress.flatMap(({ ports }: Rendered) => ports.map(({ port }: Rendered) => port))).toEqual([53, 53]);
  });

  it("has the gateway alone open to everybody, at its own port", () => {
    const open = Object.entries(policies).flatMap(([name, { spec }]) =>
      (spec.ingress ?? [])
        .filter((rule: Rendered) => rule.from === undefined)
        .map((rule: Rendered) => [name, rule.ports]),
    );
    expect(open).toEqual([["waymark-gateway", [{ protocol: "TCP", port: 8080 }]]]);
  });

  it("is opened by what the values name: who comes in, who reads metrics, who calls, where servers are", () => {
    const given = byName(render({ file: "network-policy-values.yaml" }), "NetworkPolicy");
    const [web] = given["waymark-gateway"].spec.ingress;
    expect(web.from[0].namespaceSelector.matchLabels).toEqual({ "kubernetes.io/metadata.name": "ingress" });
    const [grpc, metrics] = given["waymark-tags"].spec.ingress;
    expect(grpc.from.at(-1).podSelector.matchLabels).toEqual({ app: "kiosk" });
    expect([metrics.ports[0].port, metrics.from[0].namespaceSelector.matchLabels]).toEqual([
      9091,
      { "kubernetes.io/metadata.name": "observability" },
    ]);
    const mongodb = given["waymark-tags"].spec.egress.find(({ ports }: Rendered) => ports[0].port === 27018);
    expect(mongodb.to).toEqual([{ ipBlock: { cidr: "10.20.0.0/24" } }]);
    expect(given.waymark.spec.egress[1]).toMatchObject({ ports: [{ port: 4318 }] });
  });

  it("is left alone unless it is asked for", () => {
    const closed = valueFiles.filter((file) => Object.keys(byName(render({ file }), "NetworkPolicy")).length > 0);
    expect(closed.sort()).toEqual(["evaluation-values.yaml", "network-policy-values.yaml"]);
  });
});
