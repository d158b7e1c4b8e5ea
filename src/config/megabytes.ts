/** Bytes as an error tells them: what is needed rounded up, what there is down, so that they are never told alike. */
export const megabytes = (bytes: number, round: typeof Math.ceil = Math.ceil): string => `${round(bytes / 1e6)} MB`;
