import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import type { Config } from "#runtime/config.ts";
import type { Logger } from "#runtime/logger.ts";
import { bundledPlaces, openPlaces } from "#runtime/place/places.ts";
import type { ClientOf } from "#runtime/rpc/clients.ts";
import type { Secrets } from "#runtime/secrets.ts";
import type { Readiness } from "../gateway/health.ts";
import { followGatewayNews } from "../gateway/news.ts";
import { type Gateway, startGateway } from "../gateway/server.ts";
import type { Closing } from "./closing.ts";
import type { Engines } from "./engines.ts";

/** What the gateway stands on, in both ways to run. */
export interface DoorGiven {
  config: Config;
  logger: Logger;
  closing: Closing;
  secrets: Secrets;
  client: ClientOf;
  services: readonly DescService[];
  engines: Pick<Engines, "log" | "gossip" | "isUp">;
  ready: () => Promise<Readiness>;
}

/** Opens the gateway, and has what it keeps of codes and keys follow the log. */
export async function openDoor(given: DoorGiven): Promise<Gateway> {
  const { config, logger, closing, secrets, client, services, ready, engines } = given;
  const places = openPlaces(config.placeDatabase ?? bundledPlaces());
  closing.add("places", places.close);
  const countryOf = (ip: string): string => places.locate(ip)?.country ?? "";
  const news = followGatewayNews({ log: engines.log, isUp: engines.isUp });
  closing.add("news", news.stop);
  const gateway = await startGateway({
    ...{ config, client, services, ready, countryOf, log: logger },
    queue: { folder: join(config.data, "queue"), key: secrets.key("gateway") },
    newsAreFresh: news.fresh,
    gossip: engines.gossip,
  });
  closing.add("gateway", gateway.close);
  news.tell(gateway);
  return gateway;
}
