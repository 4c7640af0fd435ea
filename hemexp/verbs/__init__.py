"""What each verb does with its options: find the files, load the settings, run the room.

Rooms are imported inside their verb, so that light verbs start fast. Results lie where the
workflow puts them, below `--results`.
"""
