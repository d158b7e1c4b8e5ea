import { showAnswer } from './answer.js';

void showAnswer();
