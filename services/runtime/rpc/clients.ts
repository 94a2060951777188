import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";

/** Gives the client of a service; each is made once. */
export type ClientOf = <S extends DescService>(service: S) => Client<S>;

/** Clients over the transport that `transportOf` names for a service, asked at the first call. */
export function clientsOver(transportOf: (service: DescService) => Transport): ClientOf {
  const made = new Map<DescService, Client<DescService>>();
  return <S extends DescService>(service: S) => {
    const known = made.get(service);
    if (known !== undefined) return known as Client<S>;
    const transport: Transport = {
      unary: (method, ...rest) => transportOf(service).unary(method, ...rest),
      stream: (method, ...rest) => transportOf(service).stream(method, ...rest),
    };
    const client = createClient(service, transport);
    made.set(service, client as Client<DescService>);
    return client;
  };
}
