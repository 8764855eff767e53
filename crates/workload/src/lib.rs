//! Task behaviour: rt-app JSON and presets; run by simulated tasks.
