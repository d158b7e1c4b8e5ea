// What `permutations` changes in decisions of the default model about paragraphs of SQuAD's held-out articles: a choice of
// the article's title among four, and a predicate with described options, whether the paragraph answers a question that was
// asked about it or about another paragraph of the article. It prints the figures so far after a paragraph of each article.
// CHUNKWISE_PARAGRAPHS: of each article; 5 at most.
import { indexOfLargest, meanNll, probabilities, type Readings } from '../../src/api/decisions/distribution.ts';
import { type DecisionClient, type ReadQuestion, readQuestions } from '../../src/api/decisions/decide.ts';
import { parseDecisions } from '../../src/api/decisions/parse-decisions.ts';
import type { DecisionQuestion } from '../../src/api/decisions/types.ts';
import { mean } from '../../cli/statistics.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutArticles } from '../support/texts.ts';

const PARAGRAPHS = Number(process.env.CHUNKWISE_PARAGRAPHS ?? 5);
const CHOICES = 4;

/** A question in all of its orders, with the index of its right option. */
interface Asked {
  readings: Readings;
  right: number;
  labelMass: number;
}

const articles = await heldOutArticles();
const engine = await openInNode();

const client: DecisionClient = {
  scoreLabels: (...reads) => engine.scoreLabels(...reads),
  adapters: () => Promise.resolve(engine.adapters()),
};

/** The article's title and the next three, from place `place` on. */
function topic(article: number, place: number): { question: DecisionQuestion; right: number } {
  const titles = Array.from({ length: CHOICES }, (_, i) => articles[(article + i) % articles.length]!.title);
  const choices = titles.map((_, i) => ({ value: titles[(i - place + CHOICES) % CHOICES]! }));
  return { question: { type: 'choice', instructions: 'What is the text about?', choices }, right: place };
}

const answers = (question: string): DecisionQuestion => ({
  type: 'predicate',
  instructions: `Does the text above answer this question? ${question}`,
  criteria: { true: 'the text has the answer', false: 'the text does not have the answer' },
});

/** The questions as `permutations: count` reads them. */
const inOrders = (asked: readonly Asked[], count: number): Asked[] =>
  asked.map((each) => {
    const { length } = each.readings;
    return { ...each, readings: each.readings.filter((_, i) => i % (length / Math.min(count, length)) === 0) };
  });

const sharesOf = ({ readings }: Asked): number[] => probabilities(readings, 1);
const share = (asked: readonly Asked[], is: (each: Asked) => boolean): number =>
  mean(asked.map((each) => Number(is(each))));

/** `first`: share of questions whose chosen option stands first. `changed`: whose choice is another than in one order. */
function report(asked: readonly Asked[], count: number) {
  const some = inOrders(asked, count);
  const chosen = (each: Asked): number => indexOfLargest(sharesOf(each));
  return {
    accuracy: share(some, (each) => chosen(each) === each.right),
    first: share(some, (each) => chosen(each) === 0),
    nll: meanNll(some, 1),
    right: mean(some.map((each) => sharesOf(each)[each.right]!)),
    changed: mean(
      some.map((each, i) => Number(chosen(each) !== indexOfLargest(probabilities([asked[i]!.readings[0]!], 1)))),
    ),
  };
}

/** The chance that a question of the paragraph gets a higher probability of yes than one of another paragraph. */
function auc(asked: readonly Asked[]): number {
  const yes = (right: number): number[] =>
    asked.filter((each) => each.right === right).map((each) => sharesOf(each)[0]!);
  return mean(yes(0).flatMap((own) => yes(1).map((other) => (own > other ? 1 : own === other ? 0.5 : 0))));
}

/** Questions whose choice is the same in each of their orders. */
const steady = (asked: readonly Asked[]): number =>
  share(asked, ({ readings }) => new Set(readings.map((each) => indexOfLargest([...each]))).size === 1);

/** Mean distance between the largest and the smallest share that the right option gets in an order. */
const spread = (asked: readonly Asked[]): number =>
  mean(
    asked.map(({ readings, right }) => {
      const shares = readings.map((each) => probabilities([each], 1)[right]!);
      return Math.max(...shares) - Math.min(...shares);
    }),
  );

const overall = (asked: readonly Asked[]) => ({
  questions: asked.length,
  labelMass: mean(asked.map(({ labelMass }) => labelMass)),
  steady: steady(asked),
  spread: spread(asked),
});
const summary = () => ({
  choice: { ...overall(topics), permutations: Object.fromEntries([1, 2, 4].map((n) => [n, report(topics, n)])) },
  predicate: {
    ...overall(predicates),
    permutations: Object.fromEntries(
      [1, 2].map((n) => [n, { ...report(predicates, n), auc: auc(inOrders(predicates, n)) }]),
    ),
  },
});

const topics: Asked[] = [];
const predicates: Asked[] = [];
for (let p = 0; p < PARAGRAPHS; p++) {
  for (const [a, { paragraphs }] of articles.entries()) {
    const { context, questions } = paragraphs[p]!;
    const { question, right } = topic(a, (a + p) % CHOICES);
    const other = paragraphs[(p + 1) % paragraphs.length]!;
    const asked = [question, answers(questions[0]!), answers(other.questions[0]!)];
    const request = { input: context, questions: asked, permutations: CHOICES };
    const read = await readQuestions(client, parseDecisions(request), undefined);
    const kept = ({ readings, labelMass }: ReadQuestion, i: number): Asked => ({ readings, labelMass, right: i });
    topics.push(kept(read[0]!, right));
    predicates.push(kept(read[1]!, 0), kept(read[2]!, 1));
  }
  const found = summary();
  for (const [type, { permutations, ...own }] of Object.entries(found)) {
    console.log(type, own);
    console.table(permutations);
  }
  await record('permutations', engine.device, found);
}
engine.dispose();
process.exit(0);
