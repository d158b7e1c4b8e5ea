'use client';

import { useEffect } from 'react';
import { showAnswer } from '../../answer.js';

export default function Page() {
  useEffect(() => void showAnswer(), []);
  return <p>An answer goes into the title.</p>;
}
