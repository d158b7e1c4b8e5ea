/** GiB of a page there: WebKit ends its process at 1.5 GB, however much the device has (WebKit #49472). It tells of no memory. */
export const APPLE_PHONE_GIB = 1.4;

/** Of a page; a worker's has no touch points. */
export interface PageNavigator {
  readonly userAgent: string;
  readonly maxTouchPoints?: number;
}

/** An iPhone or an iPad, which by its user agent may be a Mac, of which none has a touch screen. */
export const isApplePhone = ({ userAgent, maxTouchPoints = 0 }: PageNavigator): boolean =>
  /\b(iPhone|iPad|iPod)\b/.test(userAgent) || (/\bMacintosh\b/.test(userAgent) && maxTouchPoints > 1);
