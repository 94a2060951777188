import type { ConnectRouter } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { readConfig } from "#runtime/config.ts";
import { newId } from "#runtime/internal.ts";
import { ownerOf } from "#runtime/rpc/peers.ts";
import { contract } from "../../services/contract.ts";
import { registry } from "../../services/registry.ts";

/** Stands in for everything that a service is given to stand on: binding uses none of it. */
const anything: unknown = new Proxy(() => anything, {
  get: (_target, name) => (name === Symbol.toPrimitive ? () => "x" : anything),
});

const config = readConfig({});
const secrets = { key: () => Buffer.alloc(32) };
const deps = {
  config,
  secrets,
  store: anything,
  log: anything,
  client: anything,
  gossip: anything,
  now: Date.now,
  newId,
};

it("each service binds proto services of its own package alone, so that the package names the process to call", () => {
  const strays: string[] = [];
  for (const { name, routes } of registry) {
    const router: Pick<ConnectRouter, "service" | "rpc" | "handlers"> = {
      handlers: [],
      service(service) {
        if (ownerOf(service) !== name) strays.push(`${name} binds ${service.typeName}`);
        return router as ConnectRouter;
      },
      rpc(method) {
        if (ownerOf(method.parent) !== name) strays.push(`${name} binds ${method.parent.typeName}`);
        return router as ConnectRouter;
      },
    };
    routes(router as ConnectRouter, deps as never);
  }
  expect(strays).toEqual([]);
});

it("every proto service has an owner that is a service", () => {
  const names = registry.map(({ name }) => name);
  expect(contract.map(ownerOf).filter((owner) => !names.includes(owner))).toEqual([]);
});
