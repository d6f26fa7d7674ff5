"""A vendor's own package: what it adds to SmartAlex by being installed."""

from smartalex.plugins import LazyProvider

halving = LazyProvider("IAudioFilterFactory", "halving", "half as loud, or by=NUMBER", "vendor_halving:Halving")
parrot = LazyProvider("IVoiceDetectorFactory", "parrot", "calls everything speech", "vendor_halving:Parrot")
shelf = LazyProvider("IRecordingSink", "shelf", "keeps recordings in memory", "vendor_halving:Shelf")
empty = LazyProvider("IAudioFilterFactory", "unpacked", "needs a library nobody has", "vendor_absent:Nothing")
