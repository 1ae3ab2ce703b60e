"""Phantoms: a generated chest X-ray data set in the layout of NIH ChestX-ray14. NOT medical data.

Every image is a drawing of a chest, with each of the 14 findings drawn by its radiographic sign, from subtle to
obvious; labels follow the frequencies and co-occurrence of the NIH table. Phantoms serve to try the software and
to test it. A score on them says nothing about the diagnosis of people.
"""

from mamsf_keras.phantoms.labels import phantom_table as phantom_table
from mamsf_keras.phantoms.radiograph import Radiograph as Radiograph
from mamsf_keras.phantoms.radiograph import RadiographSpec as RadiographSpec
from mamsf_keras.phantoms.radiograph import draw as draw
from mamsf_keras.phantoms.write import write_phantoms as write_phantoms
