"""3D Slicer module: colour-flow clip in, greyscale frames as a volume (one slice a frame). It calls the command line.

Edit > Application Settings > Modules > Additional module paths: the folder of this file. cfd2gray lies in a Python of its own,
not in Slicer's; name its command in the module. Not run in Slicer by its authors: only its syntax and its command are tested.
"""

import os
import subprocess
import tempfile

import ctk
import numpy as np
import qt
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget

RESEARCH = "Research use only, not for diagnosis. Pixels that colour hid are a reconstruction."


def translate_command(program, clip, target):
    return [program, "translate", clip, "-o", target, "--confidence"]


class slicer_cfd2gray(ScriptedLoadableModule):  # Slicer finds the class by the name of the file
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "Colour flow to greyscale"
        parent.categories = ["Ultrasound"]
        parent.contributors = ["cfd2gray"]
        parent.helpText = RESEARCH


class slicer_cfd2grayWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        form = qt.QFormLayout()
        self.layout.addLayout(form)
        self.program, self.clip = ctk.ctkPathLineEdit(), ctk.ctkPathLineEdit()
        self.program.currentPath = qt.QSettings().value("cfd2gray/program", "cfd2gray")
        form.addRow("cfd2gray command:", self.program)
        form.addRow("Clip:", self.clip)
        form.addRow(qt.QLabel(RESEARCH))
        button = qt.QPushButton("Translate")
        button.connect("clicked()", self.onTranslate)
        form.addRow(button)
        self.layout.addStretch(1)

    def onTranslate(self):
        qt.QSettings().setValue("cfd2gray/program", self.program.currentPath)
        with slicer.util.tryWithErrorDisplay("cfd2gray could not translate this clip", waitCursor=True):
            load(self.program.currentPath, self.clip.currentPath)


def load(program, clip):
    """Translate ``clip`` and show greyscale and confidence as two volumes."""
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "grey.npy")
        # Without Slicer's own variables, which would lead another Python astray.
        done = subprocess.run(
            translate_command(program, clip, target),
            env=slicer.util.startupEnvironment(),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or done.stdout.strip())
        names = {"grey (synthetic)": target, "confidence": target.replace(".npy", ".confidence.npy")}
        for name, path in names.items():
            slicer.util.addVolumeFromArray(np.load(path), name=name)
        slicer.util.showStatusMessage(done.stdout.strip().splitlines()[-1], 10000)
