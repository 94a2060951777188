import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ROOT } from "../architecture/source.ts";
import {
  type Kubernetes,
  killProcesses,
  kubernetesMissing,
  type Servers,
  serversMissing,
  startKubernetes,
  startServers,
} from "../support/kubernetes.ts";
import { caller } from "../support/waymark.ts";
import { CHART, type Rendered } from "./chart.ts";
import { openDoors, type Shop, type Visits } from "./customers.ts";

const ADMIN_KEY = randomBytes(24).toString("hex");
const MASTER_KEY = randomBytes(32).toString("hex");
const RUN = randomBytes(3).toString("hex");

const eventually = <T>(check: () => Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 90_000, interval: 500 });

let kubernetes: Kubernetes;
let servers: Servers;

/** A namespace that enforces the standard `restricted`, with the keys of a Waymark in it. */
async function makeNamespace(shape: string): Promise<string> {
  const name = `waymark-${shape}-${RUN}`;
  const { kubectl } = kubernetes;
  await kubectl("create", "namespace", name);
  await kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted");
  const keys = { WAYMARK_ADMIN_KEY: ADMIN_KEY, WAYMARK_MASTER_KEY: MASTER_KEY };
  const literals = Object.entries(keys).map(([key, value]) => `--from-literal=${key}=${value}`);
  await kubectl("create", "secret", "generic", "waymark-keys", ...literals, "--namespace", name);
  return name;
}

/** Installs or upgrades, and waits until everything is ready. On failure it says what the pods say. */
async function install(namespace: string, file: string, ...set: string[]): Promise<void> {
  const sets = set.flatMap((one) => ["--set", one]);
  const words = [
    "upgrade",
    "--install",
    "waymark",
    CHART,
    "--namespace",
    namespace,
    "--values",
    join(CHART, "ci", file),
  ];
  await kubernetes.helm(...words, ...sets, "--wait", "--timeout", "140s").catch(async (error: Error) => {
    throw new Error(`${error.message}\n${await kubernetes.kubectl("get", "pods", "--namespace", namespace)}`);
  });
}

const tryIt = (namespace: string) => kubernetes.helm("test", "waymark", "--namespace", namespace);

/** What is left in a namespace of the kinds that a chart can make, without what Kubernetes itself puts there. */
async function leftovers(namespace: string): Promise<string[]> {
  const kinds = await kubernetes.kubectl("api-resources", "--namespaced", "--verbs=list", "--output", "name");
  const own = kinds
    .trim()
    .split("\n")
    .filter((kind) => !/^events|\.metrics\.k8s\.io$/.test(kind));
  const names = await kubernetes.kubectl(
    "get",
    own.join(","),
    "--namespace",
    namespace,
    "--output",
    "name",
    "--ignore-not-found",
  );
  const given = ["configmap/kube-root-ca.crt", "serviceaccount/default", "secret/waymark-keys"];
  return names
    .trim()
    .split("\n")
    .filter((name) => name !== "" && !given.includes(name));
}

/** The address of the way in, which this machine reaches. */
async function addressOf(namespace: string): Promise<string> {
  const ip = await kubernetes.kubectl(
    "get",
    "service",
    "waymark",
    "--namespace",
    namespace,
    "--output",
    "jsonpath={.spec.clusterIP}",
  );
  return `http://${ip}`;
}

async function pods(namespace: string, component: string): Promise<Rendered[]> {
  const label = `app.kubernetes.io/component=${component}`;
  const text = await kubernetes.kubectl(
    "get",
    "pods",
    "--namespace",
    namespace,
    "--selector",
    label,
    "--output",
    "json",
  );
  return JSON.parse(text).items;
}

/** Waits until a process has so many pods, all ready, and none that stops. */
async function settled(namespace: string, component: string, count: number): Promise<void> {
  await eventually(async () => {
    const all = await pods(namespace, component);
    const ready = all.filter(({ metadata, status }) => {
      const isReady = status.conditions?.some(
        ({ type, status: word }: Rendered) => type === "Ready" && word === "True",
      );
      return isReady && metadata.deletionTimestamp === undefined;
    });
    expect([all.length, ready.length]).toEqual([count, count]);
  });
}

/** Deletes a pod: by force it is killed in the middle of its work; else it stops in order. */
async function remove(namespace: string, component: string, how: "by force" | "in order"): Promise<void> {
  const [pod] = await pods(namespace, component);
  const force = how === "by force" ? ["--force", "--grace-period=0"] : ["--wait=false"];
  await kubernetes.kubectl("delete", "pod", pod.metadata.name, "--namespace", namespace, ...force);
}

/** Kills what runs in a pod, and waits until it was started again. */
async function crash(namespace: string, component: string): Promise<void> {
  const [pod] = await pods(namespace, component);
  const restarts = (one: Rendered): number => one.status.containerStatuses[0].restartCount;
  killProcesses(pod.metadata.uid);
  await eventually(async () => {
    const again = (await pods(namespace, component)).find(({ metadata }) => metadata.uid === pod.metadata.uid);
    expect(restarts(again)).toBe(restarts(pod) + 1);
  });
}

async function openShop(namespace: string): Promise<Shop> {
  const url = await addressOf(namespace);
  const body = { name: "A poster", prompt: "Be kind.", destination: "https://example.com/menu" };
  const { body: code, text } = await caller(url)("POST", "/v1/qpr-codes", { key: ADMIN_KEY, body });
  if (code?.id === undefined) throw new Error(`the code was not made: ${text}`);
  return { url, key: ADMIN_KEY, code };
}

/** Every redirect and every acknowledged scan is counted, once. */
async function expectCounted(shop: Shop, visits: readonly Visits[]): Promise<void> {
  const sent = visits.reduce((sum, { redirected, acknowledged }) => sum + redirected + acknowledged, 0);
  const path = `/v1/scans?qpr_code_id=${shop.code.id}&include_bots=true&limit=1`;
  await eventually(async () => {
    const { body, text } = await caller(shop.url)("GET", path, { key: shop.key });
    expect(body.total, text).toBe(sent);
  });
}

const isMissing = kubernetesMissing() || serversMissing();

describe.skipIf(isMissing)("on a cluster", () => {
  beforeAll(async () => {
    kubernetes = await startKubernetes();
    await kubernetes.build("waymark:test", ROOT);
    servers = await startServers();
  });
  afterAll(async () => {
    await kubernetes?.down();
    await servers?.stop();
  });

  describe("the shape allInOne", () => {
    let namespace: string;
    let shop: Shop;

    it("becomes ready in a restricted namespace, and does what a customer wants", async () => {
      namespace = await makeNamespace("all");
      await install(namespace, "all-in-one-values.yaml");
      await tryIt(namespace);
      shop = await openShop(namespace);
    });

    it("leaves nothing but its volume when it is uninstalled", async () => {
      await kubernetes.helm("uninstall", "waymark", "--namespace", namespace, "--wait");
      await eventually(async () =>
        expect(await leftovers(namespace)).toEqual(["persistentvolumeclaim/data-waymark-all-0"]),
      );
    });

    it("finds everything again when it is installed on that volume", async () => {
      await install(namespace, "all-in-one-values.yaml");
      const url = await addressOf(namespace);
      const { body } = await caller(url)("GET", `/v1/qpr-codes/${shop.code.id}`, { key: ADMIN_KEY });
      expect(body.short_id).toBe(shop.code.short_id);
      await kubernetes.helm("uninstall", "waymark", "--namespace", namespace, "--wait");
    });
  });

  describe("the shape services", () => {
    const all: Visits[] = [];
    const place = () => [`nats.url=${servers.natsUrl}`, `mongodb.url=${servers.mongodbUrl}`];
    let namespace: string;
    let shop: Shop;

    /** What happens while customers come and go. */
    async function underLoad(name: string, happen: () => Promise<void>): Promise<Visits> {
      const doors = openDoors(shop, `${name}-${RUN}`);
      try {
        await doors.enough(20);
        await happen();
        await doors.enough(20);
      } finally {
        all.push(await doors.close());
      }
      return all.at(-1) as Visits;
    }

    it("becomes ready in a restricted namespace, and does what a customer wants", async () => {
      namespace = await makeNamespace("services");
      await install(namespace, "services-values.yaml", ...place());
      await tryIt(namespace);
      shop = await openShop(namespace);
    });

    it("loses no request while every pod is replaced by an upgrade", async () => {
      const { failed } = await underLoad("upgrade", async () => {
        await install(namespace, "services-values.yaml", ...place(), "defaults.podAnnotations.round=second");
        for (const name of ["gateway", "codes", "scans", "analytics"]) await settled(namespace, name, 2);
        for (const name of ["access", "tags", "emergency"]) await settled(namespace, name, 1);
      });
      expect(failed).toEqual([]);
      await expectCounted(shop, all);
    });

    // Of a gateway that is killed in the middle of a request, nobody can answer that request; so it stops in order.
    it("loses no request when services are killed, a pod of theirs is taken away, and one of the gateway stops", async () => {
      const { failed } = await underLoad("kill", async () => {
        for (const name of ["scans", "codes"]) {
          await crash(namespace, name);
          await settled(namespace, name, 2);
        }
        await remove(namespace, "scans", "by force");
        await settled(namespace, "scans", 2);
        await remove(namespace, "gateway", "in order");
        await settled(namespace, "gateway", 2);
      });
      expect(failed).toEqual([]);
      await expectCounted(shop, all);
    });

    it("leaves nothing when it is uninstalled", async () => {
      await kubernetes.helm("uninstall", "waymark", "--namespace", namespace, "--wait");
      await eventually(async () => expect(await leftovers(namespace)).toEqual([]));
    });
  });
});
