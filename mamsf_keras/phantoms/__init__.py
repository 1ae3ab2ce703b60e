"""Phantoms: a synthetic chest X-ray data set in the layout of NIH ChestX-ray14. NOT medical data.

Every image is a drawing of a chest that shows each of the 14 findings by its radiographic sign, from subtle to obvious.
Labels follow the frequencies and co-occurrence of the NIH table. Use phantoms to try out and test the software. Scores
on them have no clinical meaning.
"""

from mamsf_keras.phantoms.labels import phantom_table as phantom_table
from mamsf_keras.phantoms.radiograph import Radiograph as Radiograph
from mamsf_keras.phantoms.radiograph import RadiographSpec as RadiographSpec
from mamsf_keras.phantoms.radiograph import draw as draw
from mamsf_keras.phantoms.write import write_phantoms as write_phantoms
