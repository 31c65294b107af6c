# One image for all roles; compose.yaml says which one a container runs.
FROM node:26-slim
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0
COPY package.json package-lock.json ./
# Without the optional packages: the image has its own Node.
RUN npm ci --omit=dev --omit=optional && npm cache clean --force
COPY bin ./bin
COPY services ./services
COPY shared ./shared
COPY workers ./workers
USER node
EXPOSE 9998
CMD ["node", "services/api/main.ts"]
