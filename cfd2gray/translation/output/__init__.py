"""Results as files: DICOM, video, arrays, each marked as synthetic and grown frame by frame.

Enter from `translation.files`; beneath it. Never translates, never decides what may leave."""
