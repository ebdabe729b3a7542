"""The screen of one fork: candidates, margins, verdict, alignment."""
