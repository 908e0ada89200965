export * from './client';
export * from './stream';
export * from './types';
