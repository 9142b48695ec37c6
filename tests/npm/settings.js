/**
 * Settings with which a stalled stream keeps its turns and each set that it delays is hedged, so
 * that tests can count hedges. The defaults skip such a stream after a few strikes, and bound
 * hedges.
 */
export const NO_HISTORY = { adaptive: false, budget: false, health: false };
